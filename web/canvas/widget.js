/** The editor as a widget of a node: value, picture, size, and the graph's undo. */

import { Editor } from './editor.js'
import { decodeRuns } from './mask.js'
import { linkedPicture, loaded, ranPicture, viewPath } from './picture.js'
import { say } from './words.js'

/** @typedef {import('../comfyui').LGraphNode} LGraphNode */
/** @typedef {import('./picture.js').StoredPicture} StoredPicture */

const [MIN_WIDTH, MIN_HEIGHT] = [440, 420]
/** Milliseconds between looks at what is upstream: a loader says nothing when another file is chosen in it. */
const LOOK_EVERY = 400

/**
 * @param {LGraphNode} node @param {string} name
 * @param {{ url: (path: string) => string, changed: () => void, wheel: (event: WheelEvent) => void }} host
 */
export function addCanvasWidget(node, name, host) {
  const editor = new Editor({
    onChange() {
      widget.callback?.(editor.text)
      node.graph?.setDirtyCanvas?.(true, false)
      host.changed()
    },
    onWheel: host.wheel
  })
  const widget = node.addDOMWidget(name, 'DRAGON_CANVAS', editor.root, {
    getValue: () => editor.text,
    setValue: (/** @type {unknown} */ value) => {
      editor.text = value
    },
    getMinHeight: () => MIN_HEIGHT,
    hideOnZoom: false
  })
  widget.editor = editor // for click-to-mask nodes and tests
  followPicture(node, editor, host.url)
  return { widget, minWidth: MIN_WIDTH, minHeight: MIN_HEIGHT }
}

/** @param {LGraphNode} node @param {Editor} editor @param {(path: string) => string} url */
function followPicture(node, editor, url) {
  /** @type {StoredPicture | null} */
  let ran = null
  let shown = ''

  const look = () => {
    editor.checkSharpness()
    if (!node.graph) return
    takePlace(node, editor.root)
    const { linked, file } = linkedPicture(node, 'image')
    const wanted = file ?? (linked ? ran : null)
    const key = wanted ? viewPath(wanted) : linked ? 'linked' : 'none'
    if (key === shown) return
    shown = key
    if (wanted) void fetchPicture(key)
    else {
      editor.setPicture(null, [0, 0])
      editor.setNotice(linked ? say('runOnce') : '')
    }
  }

  /** @param {string} key */
  const fetchPicture = async (key) => {
    try {
      const image = await loaded(url(key))
      if (key === shown) editor.setPicture(image, [image.naturalWidth, image.naturalHeight])
    } catch {
      if (key !== shown) return
      editor.setPicture(null, [0, 0])
      editor.setNotice(say('pictureLost'))
    }
  }

  const timer = setInterval(look, LOOK_EVERY)
  look()

  const { onExecuted, onRemoved, onConnectionsChange } = node
  node.onExecuted = function (output) {
    onExecuted?.call(this, output)
    ran = ranPicture(output?.dragon_picture?.[0]) ?? ran
    editor.warnings = (output?.dragon_warnings ?? []).filter((warning) => typeof warning === 'string')
    editor.lendMask(decodeRuns(output?.dragon_mask?.[0]))
    editor.refresh()
    look()
  }
  node.onConnectionsChange = function (...change) {
    onConnectionsChange?.apply(this, change)
    queueMicrotask(look)
  }
  node.onRemoved = function () {
    onRemoved?.call(this)
    clearInterval(timer)
    editor.destroy()
    editor.root.setAttribute('data-removed', '')
  }
}

/**
 * Nodes 2.0 mounts a widget's element once per node id. When a node takes the place of a removed one with its id, as after the
 * graph's undo, the removed one's element would stay and the new one never show.
 * @param {LGraphNode} node @param {HTMLElement} root
 */
function takePlace(node, root) {
  if (root.isConnected) return
  document.querySelector(`[data-node-id="${CSS.escape(String(node.id))}"] .dragon-canvas[data-removed]`)?.replaceWith(root)
}
