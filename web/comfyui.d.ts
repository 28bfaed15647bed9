/** The part of ComfyUI's frontend that is used here, for the type checker. */

export interface LGraph {
  id?: string
  subgraphs?: Map<string, LGraph>
  setDirtyCanvas?: (foreground: boolean, background: boolean) => void
}

/** What a run says of a node. */
export type NodeOutput = Record<string, unknown[] | undefined>

export interface LGraphNode {
  id: number | string
  type: string
  comfyClass?: string
  size: [number, number]
  graph?: LGraph | null
  inputs?: { name: string; link?: number | null }[]
  /** 0: it takes part in runs. */
  mode?: number
  widgets?: Widget[]
  setSize(size: [number, number]): void
  getInputNode(slot: number): LGraphNode | null
  getInputLink(slot: number): { origin_id: number | string; origin_slot: number } | null
  addDOMWidget(name: string, type: string, element: HTMLElement, options: object): DOMWidget
  onWidgetChanged?: (name: string, value: unknown, before: unknown, widget: Widget) => void
  onAdded?: (...graph: unknown[]) => void
  onExecuted?: (output: NodeOutput | undefined) => void
  onRemoved?: () => void
  onConnectionsChange?: (...change: unknown[]) => void
}

export interface Widget {
  name: string
  value: unknown
  callback?: (value: unknown, canvas?: unknown, node?: LGraphNode) => void
}

export interface DOMWidget {
  callback?: (value: string) => void
  /** Ours. */
  editor?: unknown
}

export interface Extension {
  name: string
  init?(): void
  getCustomWidgets?(): Record<string, (node: LGraphNode, name: string) => object>
  nodeCreated?(node: LGraphNode): void
}

export interface App {
  registerExtension(extension: Extension): void
  rootGraph?: LGraph
  graph?: LGraph
  nodeOutputs?: Record<string, NodeOutput>
  canvas?: {
    canvas?: HTMLCanvasElement
    /** How the graph lies on the page. */
    ds?: { scale: number; offset: [number, number] }
    setDirty?: (foreground: boolean, background: boolean) => void
  }
  extensionManager?: {
    setting?: { get?: (id: string) => unknown }
    workflow?: { activeWorkflow?: { changeTracker?: { captureCanvasState?: () => void; checkState?: () => void } } }
  }
}
