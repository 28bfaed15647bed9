/** The part of ComfyUI's frontend that is used here, for the type checker. */

export interface LGraphNode {
  id: number | string
  type: string
  comfyClass?: string
  size: [number, number]
  graph?: { setDirtyCanvas?: (foreground: boolean, background: boolean) => void } | null
  inputs?: { name: string; link?: number | null }[]
  widgets?: { name: string; value: unknown }[]
  setSize(size: [number, number]): void
  getInputNode(slot: number): LGraphNode | null
  addDOMWidget(name: string, type: string, element: HTMLElement, options: object): DOMWidget
  onExecuted?: (output: Record<string, unknown[]> | undefined) => void
  onRemoved?: () => void
  onConnectionsChange?: (...change: unknown[]) => void
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
  canvas?: { canvas?: HTMLCanvasElement }
  extensionManager?: {
    setting?: { get?: (id: string) => unknown }
    workflow?: { activeWorkflow?: { changeTracker?: { checkState?: () => void } } }
  }
}
