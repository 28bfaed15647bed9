/** Gives Dragon Canvas its widget. ComfyUI loads every script here; the others only export. */

import { app } from '../../scripts/app.js'
import { api } from '../../scripts/api.js'
import { addCanvasWidget } from './canvas/widget.js'
import { speak } from './canvas/words.js'

const NODE = 'DragonCanvas'
/** Wide enough for the toolbar, high enough for a picture. */
const FIRST_SIZE = [500, 760]

app.registerExtension({
  name: 'Dragon.Canvas',

  init() {
    const sheet = document.createElement('link')
    sheet.rel = 'stylesheet'
    sheet.href = new URL('./dragon_canvas.css', import.meta.url).href
    document.head.append(sheet)
  },

  getCustomWidgets() {
    return {
      DRAGON_CANVAS(node, name) {
        speak(app.extensionManager?.setting?.get?.('Comfy.Locale'))
        return addCanvasWidget(node, name, { url: (path) => api.apiURL(path), changed: noteChange, wheel: passWheel, heldView, enter, output: lastOutput, holds })
      }
    }
  },

  nodeCreated(node) {
    if (node.comfyClass !== NODE) return
    const [width, height] = node.size
    node.setSize([Math.max(width, FIRST_SIZE[0]), Math.max(height, FIRST_SIZE[1])])
  }
})

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
