/** The part of ComfyUI's frontend that is used here, for the type checker. */

export interface LGraph {
  id?: string
  /** Itself, where it is no subgraph. */
  rootGraph?: LGraph
  nodes?: LGraphNode[]
  subgraphs?: Map<string, LGraph>
  /** Of a subgraph: its far side. */
  outputNode?: { slots?: { getLinks?: () => LGraphLink[] }[] }
  getNodeById?: (id: number | string) => LGraphNode | null | undefined
  links?: { values?: () => Iterable<LGraphLink> }
  setDirtyCanvas?: (foreground: boolean, background: boolean) => void
}

export interface LGraphLink {
  origin_id: number | string
  origin_slot: number | string
  target_id: number | string
  target_slot: number | string
}

/** What a run says of a node. */
export type NodeOutput = Record<string, unknown[] | undefined>

export interface LGraphNode {
  id: number | string
  type: string
  comfyClass?: string
  size: [number, number]
  graph?: LGraph | null
  inputs?: { name: string; type?: unknown; widget?: { name: string } }[]
  outputs?: { name: string }[]
  /** 0: it takes part in runs. */
  mode?: number
  /** What a subgraph node shows the outside of. */
  subgraph?: LGraph
  /** One of the frontend's own, that the server never hears of. */
  isVirtualNode?: boolean
  resolveVirtualOutput?: (slot: number) => { node: LGraphNode; slot: number } | undefined
  widgets?: Widget[]
  setSize(size: [number, number]): void
  getInputLink(slot: number): LGraphLink | null
  isOutputConnected?: (slot: number) => boolean
  computeSize(): [number, number]
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
  serialize?: boolean
  /** Ours. */
  editor?: unknown
}

export interface Extension {
  name: string
  init?(): void
  setup?(): void
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
    default_connection_color_byType?: Record<string, string>
    /** The one that is looked at. */
    graph?: LGraph
    /** How the graph lies on the page. */
    ds?: { scale: number; offset: [number, number] }
    setDirty?: (foreground: boolean, background: boolean) => void
  }
  ui?: { settings?: { addEventListener?: (kind: string, hear: () => void) => void } }
  extensionManager?: {
    setting?: { get?: (id: string) => unknown }
    workflow?: { activeWorkflow?: { changeTracker?: { captureCanvasState?: () => void; checkState?: () => void } } }
  }
}

declare global {
  interface Window {
    LGraphCanvas?: { link_type_colors?: Record<string, string> }
  }
}
