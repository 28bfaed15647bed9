/** Gives Dragon Canvas its widget, subgraphs the canvas inside, links their colours. ComfyUI loads every script; the others only export. */

import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'
import { addCanvasWidget, addFace, faceName } from './canvas/widget.js'
import { speak } from './canvas/words.js'
import { fill, rules } from './colours.js'

const NODE = 'DragonCanvas'
/** Milliseconds from the choice of a palette until it is there. */
const PALETTE_LOADS = 500
/** Wide enough for the toolbar, high enough for a picture. */
const FIRST_SIZE = [500, 760]

app.registerExtension({
  name: 'Dragon.Canvas',

  init() {
    const sheet = document.createElement('link')
    sheet.rel = 'stylesheet'
    sheet.href = new URL('./dragon_canvas.css', import.meta.url).href
    const colours = document.createElement('style')
    colours.textContent = rules()
    document.head.append(sheet, colours)
  },

  setup() {
    colour()
    app.ui?.settings?.addEventListener?.('Comfy.ColorPalette.change', () => setTimeout(colour, PALETTE_LOADS))
    app.canvas?.canvas?.addEventListener('litegraph:set-graph', () => queueMicrotask(() => app.canvas?.graph?.nodes?.forEach(faces)))
  },

  getCustomWidgets() {
    return { DRAGON_CANVAS: (node, name) => addCanvasWidget(node, name, host()) }
  },

  nodeCreated(node) {
    if (node.subgraph) return queueMicrotask(() => faces(node)) // its widgets are made anew until it has its place
    if (node.comfyClass?.startsWith('Dragon')) colour() // the palette may have come since
    if (node.comfyClass === NODE) widen(node)
  }
})

function colour() {
  fill(app.canvas?.default_connection_color_byType, window.LGraphCanvas?.link_type_colors)
  app.canvas?.setDirty?.(true, true)
}

/** What the editor needs of the frontend. @returns {import('./canvas/widget.js').Host} */
function host() {
  speak(app.extensionManager?.setting?.get?.('Comfy.Locale'))
  return { url: (path) => api.apiURL(path), changed: noteChange, wheel: passWheel, heldView, enter, output: lastOutput, holds }
}

/** Every canvas of a subgraph is on the face of the node that stands for it. @param {import('./comfyui').LGraphNode} node */
function faces(node) {
  if (!node.graph) return
  for (const inner of node.subgraph?.nodes ?? []) {
    if (inner.type !== NODE || node.widgets?.some(({ name }) => name === faceName(inner.id))) continue
    addFace(node, inner.id, host())
    widen(node)
  }
}

/** @param {import('./comfyui').LGraphNode} node */
function widen(node) {
  const [width, height] = node.size
  const least = node.subgraph ? node.computeSize()[1] : FIRST_SIZE[1]
  node.setSize([Math.max(width, FIRST_SIZE[0]), Math.max(height, least)])
}

/** Lets the graph's own undo know; it would find out at the next click otherwise. Newer frontends have another name for it. */
function noteChange() {
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker
  if (tracker?.captureCanvasState) tracker.captureCanvasState()
  else tracker?.checkState?.()
}

/** All of them are one step of the graph's undo. @param {import('./comfyui').LGraphNode} node @param {Record<string, number>} values by widget */
function enter(node, values) {
  for (const [name, value] of Object.entries(values)) {
    const widget = node.widgets?.find((each) => each.name === name)
    if (!widget || widget.value === value) continue
    const before = widget.value
    widget.value = value
    widget.callback?.(value, app.canvas, node)
    node.onWidgetChanged?.(name, value, before, widget)
  }
  app.canvas?.setDirty?.(true, true)
  noteChange()
}

/** Over an editor that is not in use the wheel is the graph's. Nodes 2.0 sees to that itself. @param {WheelEvent} event */
function passWheel(event) {
  const graph = app.canvas?.canvas
  if (!graph || (event.target instanceof Element && event.target.closest('[data-node-id]'))) return
  event.preventDefault()
  graph.dispatchEvent(new WheelEvent('wheel', event))
}

/** Puts the graph's zoom and place back to what they are now: two fingers on an editor move both otherwise. @returns {() => void} */
function heldView() {
  const view = app.canvas?.ds
  if (!view) return () => {}
  const { scale, offset } = view
  const [x, y] = offset
  return () => {
    view.scale = scale
    view.offset[0] = x
    view.offset[1] = y
    app.canvas?.setDirty?.(true, true)
  }
}

/** What the last run said of a node: the frontend keeps it while nodes come and go. @param {import('./comfyui').LGraphNode} node */
function lastOutput({ graph, id }) {
  return app.nodeOutputs?.[!graph || graph === rootGraph() ? String(id) : `${graph.id}:${id}`]
}

/** Whether a node is in the graph, or in one of its subgraphs, still. @param {import('./comfyui').LGraphNode} node */
function holds({ graph }) {
  return Boolean(graph) && (graph === rootGraph() || rootGraph()?.subgraphs?.get(graph?.id ?? '') === graph)
}

const rootGraph = () => app.rootGraph ?? app.graph
