/**
 * The editor: its state, and what pointers and keys do to it. It knows nothing of ComfyUI: a text goes in and out. All listeners
 * are on its own elements, and nothing is kept that is not in the text but the view and the undo history.
 */

import { MAX_ARROWS, MAX_OBJECTS, NOTHING, UnreadableDrawing, newThing, parse, serialise, withLentMask, withoutNoiseIn } from './drawing.js'
import { apply, clamp, distance, inverse } from './geometry.js'
import { begin, cursorAt, shiftedArrow, shiftedThing } from './gestures.js'
import { Layers } from './layers.js'
import { Panel, TOOLS } from './panel.js'
import { firstPlace, firstPlaces } from './pasting.js'
import { drawFrame, goalOf } from './renderer.js'
import { FITTED, panned, viewMatrix, zoomedAt } from './view.js'
import { say } from './words.js'

/** @typedef {import('./drawing.js').Drawing} Drawing */
/** @typedef {import('./gestures.js').ArrowPart} ArrowPart */
/** @typedef {import('./gestures.js').Keys} Keys */
/** @typedef {[number, number]} Place */
/** @typedef {import('./panel.js').Tool} Tool */
/** @typedef {{ kind: 'arrow', index: number, part: ArrowPart } | { kind: 'object' } | null} Selection */
/** @typedef {{ picture: CanvasImageSource | null, size: Place | null, notice: string }} Ground no picture: not known yet, and why */
/** @typedef {import('./pointing.js').Pointing} Pointing */

const UNDO_STEPS = 200
const MOST_PIXELS = 2400
const ZOOM_STEP = 1.25
/** Milliseconds within which a step of the same kind goes on with the one before. */
const PAUSE = 700

export class Editor {
  /** @param {{ onChange: () => void, onPoint?: (pixel: Place) => void, onWheel?: (event: WheelEvent) => void, heldView?: () => () => void }} host */
  constructor(host) {
    this.host = host
    /** @type {Drawing} */
    this.drawing = NOTHING
    /** A value that could not be read, or cannot be yet; it stays what it is until something is drawn. @type {unknown} */
    this.unread = undefined
    this.problem = ''
    this.notice = ''
    /** @type {string[]} */
    this.warnings = []
    /** @type {Drawing[]} */
    this.past = []
    /** @type {Drawing[]} */
    this.future = []
    /** @type {Tool} */
    this.tool = 'arrow'
    this.active = 0
    /** @type {Selection} */
    this.selection = null
    this.brushShare = 0.03
    this.showsResult = true
    /** @type {Layers | null} */
    this.layers = null
    /** What the objects are pasted into, where that is another picture. @type {Ground | null} */
    this.onto = null
    this.views = { own: FITTED, onto: FITTED }
    /** Of the node that masks what one points at; null where there is none. @type {Pointing | null} */
    this.pointing = null
    /** Whether object 1 is moved only: its scale and rotation go nowhere. */
    this.movesOnly = false
    /** Where the wand is held. @type {Place | null} */
    this.aimed = null
    /** Since the last run. */
    this.hasPointed = false
    /** @type {import('./mask.js').Mask | null} */
    this.painting = null
    /** @type {Place[]} */
    this.lasso = []
    /** @type {Place | null} */
    this.hover = null
    /** @type {Map<number, Place>} */
    this.fingers = new Map()
    /** Puts the graph back where it was before the second finger. @type {(() => void) | undefined} */
    this.holdGraph = undefined
    /** @type {import('./gestures.js').Gesture | null} */
    this.gesture = null
    /** @type {Drawing} */
    this.committed = NOTHING
    /** What small steps are under way, that are one in the history. */
    this.series = ''
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.pause = undefined
    this.panning = false
    this.spaceIsDown = false
    this.frame = 0
    this.panel = new Panel({
      setTool: (tool) => this.chooseTool(tool),
      setBrush: (share) => this.setBrush(share),
      activate: (index) => {
        this.activate(index)
        this.refresh()
      },
      addObject: () => this.addObject(),
      undo: () => this.undo(),
      redo: () => this.redo(),
      remove: () => this.remove(),
      toggleResult: () => this.#toggleResult(),
      fit: () => this.fit(),
      startAnew: () => this.startAnew()
    })
    const { root, stage, canvas, focus } = this.panel
    this.root = root
    this.stage = stage
    this.canvas = canvas
    this.focus = focus
    this.observer = new ResizeObserver(() => this.invalidate())
    this.#listen()
    this.refresh()
  }

  // ---- the value ----

  /** What the widget holds. @returns {string} */
  get text() {
    if (this.unread !== undefined) return typeof this.unread === 'string' ? this.unread : JSON.stringify(this.unread)
    return serialise(this.committed)
  }

  /** @param {unknown} value whatever a workflow has for it */
  set text(value) {
    if (this.unread === undefined && typeof value === 'string' && value === serialise(this.committed)) return
    this.#dropGesture()
    this.#forgetSeries()
    this.past = []
    this.future = []
    this.selection = null
    this.#read(value)
    this.active = clamp(this.active, 0, Math.max(0, this.drawing.objects.length - 1))
    this.refresh()
  }

  /** @param {unknown} value */
  #read(value) {
    this.problem = ''
    this.unread = undefined
    try {
      const drawing = parse(value, this.layers?.size ?? null)
      this.drawing = this.committed = drawing ?? NOTHING
      if (!drawing) this.unread = value // points in pixels: they wait for the picture
    } catch (error) {
      if (!(error instanceof UnreadableDrawing)) throw error
      this.drawing = this.committed = NOTHING
      this.unread = value
      this.problem = say('unreadable', { why: error.message })
    }
  }

  // ---- the picture ----

  /** @param {CanvasImageSource | null} picture @param {Place} size */
  setPicture(picture, size) {
    this.layers = picture ? new Layers(picture, size) : null
    this.notice = ''
    if (this.layers && this.unread !== undefined) this.#read(this.unread)
    this.refresh()
  }

  /**
   * What the objects go into, if not the picture they are in: its pixel (x, y) lies under that of the picture, so an object's place
   * means the same on both.
   * @param {Ground | null} onto
   */
  setOnto(onto) {
    const isNew = String(onto?.size) !== String(this.onto?.size)
    if (isNew) this.#dropGesture()
    this.onto = onto
    if (isNew && this.ground) this.#placeFirst(false)
    this.refresh()
  }

  /** What objects are seen on by the tool that places them; null where that is their own picture. */
  get ground() {
    return this.tool === 'move' ? this.onto : null
  }

  /** Whether the active object is to be pasted and has its middle where the other picture does not reach. */
  get outside() {
    const thing = this.drawing.objects[this.active]
    const goal = this.ground && thing && goalOf(thing, this.size)
    return Boolean(goal?.some((value, i) => value < 0 || value > this.shownSize[i]))
  }

  /** @param {Pointing | null} pointing */
  setPointing(pointing) {
    if (JSON.stringify(pointing) === JSON.stringify(this.pointing)) return
    this.pointing = pointing
    if (this.has(this.tool)) return this.refresh()
    this.#dropGesture()
    this.setTool('arrow')
  }

  /** Whether there is a use for a tool. @param {Tool} tool */
  has(tool) {
    return tool !== 'wand' || this.pointing !== null
  }

  /** The pixel that is pointed at, or was before. */
  get pointed() {
    return this.aimed ?? this.pointing?.at ?? null
  }

  /** @param {Place} pixel */
  aim(pixel) {
    this.aimed = pixel
    this.hasPointed = true
    this.invalidate()
  }

  /** What is aimed at goes to the node that masks it. */
  point() {
    const pixel = this.aimed
    this.aimed = null
    if (pixel && !this.pointing?.obstacle) this.host.onPoint?.(pixel)
  }

  /** Another node's mask for object 1, as the last run had it; not part of the value. @param {import('./mask.js').Mask | null} mask */
  lendMask(mask) {
    if (this.unread !== undefined || this.gesture) return
    this.drawing = this.committed = withLentMask(this.committed, mask)
    this.refresh()
  }

  /** Says why there is no picture, or what is the matter with it. @param {string} text */
  setNotice(text) {
    this.notice = text
    this.refresh()
  }

  /** Width and height of what is drawn on, in pixels. @returns {Place} */
  get size() {
    return this.layers?.size ?? this.drawing.size ?? [1024, 1024]
  }

  /** Whether what is shown has yet to become the value. */
  get isBusy() {
    return this.gesture !== null || this.series !== ''
  }

  get canDraw() {
    return !this.problem && Boolean(this.layers ?? this.drawing.size)
  }

  // ---- changing it ----

  /** Shows a drawing that is not part of the history yet. @param {Drawing} drawing */
  show(drawing) {
    this.drawing = drawing
    this.invalidate()
  }

  /** Makes what is shown part of the history. @param {string} [series] steps of one series, if they follow closely, are one */
  commit(series = '') {
    const drawing = { ...this.drawing, size: /** @type {Place} */ ([...this.size]) }
    const before = { ...this.committed, size: drawing.size }
    const changed = drawing.objects.length !== before.objects.length || serialise(drawing) !== serialise(before)
    if (changed) {
      if (!series || series !== this.series) {
        this.#endSeries()
        this.past.push(this.committed)
        if (this.past.length > UNDO_STEPS) this.past.shift()
      }
      this.future = []
      const kept = withoutNoiseIn(drawing)
      this.#settle(kept, series)
      if (kept !== drawing) this.notice = say('maskSmoothed')
    }
    this.refresh()
  }

  /** Masks and points from elsewhere (a click-to-mask node, say). @param {(drawing: Drawing) => Drawing} change */
  edit(change) {
    this.show(change(this.committed))
    this.commit()
  }

  undo() {
    this.#travel(this.past, this.future)
  }

  redo() {
    this.#travel(this.future, this.past)
  }

  /** @param {Drawing[]} from @param {Drawing[]} to */
  #travel(from, to) {
    const drawing = from.pop()
    if (!drawing) return
    this.#dropGesture()
    this.#endSeries()
    to.push(this.committed)
    this.#settle(drawing)
    this.refresh()
  }

  /** @param {Drawing} drawing @param {string} [series] that goes on: the graph hears of it when that is over */
  #settle(drawing, series = '') {
    this.drawing = this.committed = drawing
    this.unread = undefined
    this.warnings = []
    if (this.layers) this.notice = '' // it was about what was tried before
    this.#keepSelection()
    this.active = clamp(this.active, 0, Math.max(0, drawing.objects.length - 1))
    if (!series) return this.host.onChange()
    clearTimeout(this.pause)
    this.series = series
    this.pause = setTimeout(() => this.#endSeries(), PAUSE)
  }

  /** A key that is held repeats thirty times a second, and at each change it hears of the graph compares all of itself and remembers it. */
  #endSeries() {
    if (!this.series) return
    this.#forgetSeries()
    this.host.onChange()
  }

  #forgetSeries() {
    clearTimeout(this.pause)
    this.series = ''
  }

  /** Only of what there is. */
  #keepSelection() {
    if (this.selection?.kind === 'arrow' && this.selection.index >= this.drawing.arrows.length) this.selection = null
  }

  /** Deletes the selected arrow, else the active object; what is still being drawn comes first. */
  remove() {
    if (this.gesture) return this.#dropGesture()
    const { arrows, objects } = this.drawing
    if (this.selection?.kind === 'arrow') {
      this.drawing = { ...this.drawing, arrows: arrows.toSpliced(this.selection.index, 1) }
    } else if (this.tool === 'arrow' && arrows.length) {
      this.drawing = { ...this.drawing, arrows: arrows.slice(0, -1) }
    } else if (objects.length) {
      this.drawing = { ...this.drawing, objects: objects.toSpliced(this.active, 1) }
    }
    this.selection = null
    this.commit()
  }

  addObject() {
    const { objects } = this.drawing
    if (objects.length >= MAX_OBJECTS) return
    const emptyOne = objects.findIndex(({ mask }) => !mask)
    if (emptyOne < 0) {
      this.drawing = { ...this.drawing, objects: [...objects, newThing()] }
      this.active = objects.length
      this.commit()
    } else {
      this.active = emptyOne
    }
    this.setTool(this.tool === 'lasso' ? 'lasso' : 'brush')
  }

  /** @param {Place} by pixels of the picture */
  nudge(by) {
    if (this.gesture) return // it holds what would be moved
    const [width, height] = this.size
    const chosen = this.selection
    if (chosen?.kind === 'arrow') {
      const arrow = shiftedArrow(this.drawing.arrows[chosen.index], chosen.part, [by[0] / width, by[1] / height])
      this.drawing = { ...this.drawing, arrows: this.drawing.arrows.with(chosen.index, arrow) }
      this.commit(`arrow ${chosen.index} ${chosen.part}`)
    } else {
      const thing = this.drawing.objects[this.active]
      if (!thing?.mask) return
      this.drawing = { ...this.drawing, objects: this.drawing.objects.with(this.active, shiftedThing(thing, by, [width, height])) }
      this.commit(`object ${this.active}`)
    }
  }

  /** Puts the active object back where it was, or where it lay first in another picture. */
  putBack() {
    const thing = this.drawing.objects[this.active]
    if (!thing) return
    const place = this.onto?.size ? firstPlace(thing, this.size, this.onto.size) : newThing(thing.mask)
    this.drawing = { ...this.drawing, objects: this.drawing.objects.with(this.active, place) }
    this.commit()
  }

  startAnew() {
    this.problem = ''
    this.unread = undefined
    this.#settle(NOTHING)
    this.refresh()
  }

  /** @param {Selection} selection */
  select(selection) {
    this.selection = selection
    this.invalidate()
  }

  /** @param {number} index */
  activate(index) {
    this.active = index
    if (this.selection?.kind === 'arrow') this.selection = null
    this.invalidate()
  }

  /** By hand: with the tool that places them, objects too large for the other picture are brought to size. @param {Tool} tool */
  chooseTool(tool) {
    this.setTool(tool)
    if (this.ground) this.#placeFirst(true)
  }

  /** @param {boolean} lent also objects with another node's mask */
  #placeFirst(lent) {
    if (!this.ground?.size || !this.canDraw) return
    this.drawing = { ...this.drawing, objects: firstPlaces(this.drawing.objects, this.size, this.ground.size, lent) }
    this.commit()
  }

  /** @param {Tool} tool */
  setTool(tool) {
    if (this.onto && tool !== this.tool) this.#dropGesture() // its places are the other picture's
    this.tool = tool
    if (tool !== 'arrow' && this.selection?.kind === 'arrow') this.selection = null
    this.refresh()
  }

  /** Pixels of the picture. */
  brushRadius() {
    return this.brushShare * Math.max(...this.size)
  }

  /** @param {number} share of the picture's longer side */
  setBrush(share) {
    this.brushShare = clamp(share, 0.003, 0.2)
    this.refresh()
  }

  // ---- the view ----

  /** @returns {Place} */
  get stageSize() {
    return [Math.max(1, this.stage.clientWidth), Math.max(1, this.stage.clientHeight)]
  }

  /** Width and height of the picture that is seen. @returns {Place} */
  get shownSize() {
    return this.ground?.size ?? this.size
  }

  /** One for each of the pictures. */
  get view() {
    return this.ground ? this.views.onto : this.views.own
  }

  set view(view) {
    this.views[this.ground ? 'onto' : 'own'] = view
  }

  /** Pixels of the picture → pixels of the stage. */
  viewMatrix() {
    return viewMatrix(this.view, this.stageSize, this.shownSize)
  }

  /** @param {number} factor @param {Place} [at] pixels of the stage */
  zoom(factor, at = [this.stageSize[0] / 2, this.stageSize[1] / 2]) {
    this.view = zoomedAt(this.view, this.stageSize, this.shownSize, at, factor)
    this.refresh()
  }

  fit() {
    this.view = FITTED
    this.refresh()
  }

  #toggleResult() {
    this.showsResult = !this.showsResult
    this.refresh()
  }

  #listen() {
    const { root, stage, focus } = this
    const { slider } = this.panel
    // Nothing pressed in here may drag the node; a press on a button leaves the focus where keys are understood.
    root.addEventListener('pointerdown', (event) => {
      event.stopPropagation()
      if (event.target !== slider) focus.focus({ preventScroll: true })
    })
    root.addEventListener('mousedown', (event) => {
      if (event.target !== slider) event.preventDefault()
    })
    for (const kind of ['pointermove', 'pointerup', 'dblclick']) root.addEventListener(kind, (event) => event.stopPropagation())
    slider.addEventListener('change', () => focus.focus({ preventScroll: true }))
    stage.addEventListener('pointerdown', (event) => this.#press(event))
    stage.addEventListener('pointermove', (event) => this.#track(event))
    stage.addEventListener('pointerup', (event) => this.#release(event, true))
    // A capture that is lost (to a dialog, say) is followed by no pointerup; after a pointerup there is nothing left to let go.
    for (const kind of /** @type {const} */ (['pointercancel', 'lostpointercapture'])) {
      stage.addEventListener(kind, (event) => this.#release(event, false))
    }
    stage.addEventListener('pointerleave', () => this.#leave())
    // A long press, a pen that is held, the right button: none of them asks for the node's menu while one draws.
    stage.addEventListener('contextmenu', (event) => {
      event.preventDefault()
      event.stopPropagation()
    })
    // The graph zooms with two fingers wherever they are, and hears of them before its widgets do: it is put back before anyone sees it.
    root.addEventListener('touchmove', () => this.fingers.size > 1 && this.holdGraph?.(), { passive: true })
    root.addEventListener('wheel', (event) => this.#wheel(event), { passive: false })
    root.addEventListener('keydown', (event) => this.#key(event))
    focus.addEventListener('keyup', (event) => {
      if (event.key === ' ') this.spaceIsDown = false
    })
    focus.addEventListener('paste', (event) => this.#paste(event))
    focus.addEventListener('focus', () => this.#focused(true))
    focus.addEventListener('blur', () => this.#focused(false))
    this.observer.observe(stage)
  }

  /** @param {boolean} has */
  #focused(has) {
    this.root.classList.toggle('dragon-focused', has)
    // Nodes 2.0 keeps its hands off the wheel over such an element.
    this.root.setAttribute('data-capture-wheel', String(has))
    if (!has) this.spaceIsDown = false
  }

  // ---- pointers ----

  /** The stage may be scaled by the graph's zoom: its pixels are not those of the screen. @param {MouseEvent} event @returns {Place} */
  #onStage(event) {
    const box = this.canvas.getBoundingClientRect()
    const [width, height] = this.stageSize
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height]
  }

  /** @param {Place} at @returns {Place} */
  #onPicture(at) {
    return apply(inverse(this.viewMatrix()), at)
  }

  /** @param {PointerEvent} event @returns {Keys} */
  #keys(event) {
    return { shift: event.shiftKey, alt: event.altKey, coarse: event.pointerType === 'touch' }
  }

  /** @param {PointerEvent} event */
  #press(event) {
    if (event.button > 1 || event.target instanceof HTMLButtonElement || (event.target instanceof Element && event.target.closest('button'))) return
    event.preventDefault()
    try {
      this.stage.setPointerCapture(event.pointerId)
    } catch {
      // The pointer is gone already, or was made up by a script.
    }
    const at = this.#onStage(event)
    // The first finger of all: of those before, none is left, though their end went elsewhere if the stage was hidden meanwhile.
    if (event.isPrimary && this.fingers.size) {
      this.fingers.clear()
      this.#dropGesture()
    }
    this.fingers.set(event.pointerId, at)
    if (this.fingers.size > 1) {
      // a second finger: pinch instead
      this.holdGraph = this.host.heldView?.()
      return this.#dropGesture()
    }
    this.panning = event.button === 1 || this.spaceIsDown
    if (this.panning || !this.canDraw) return
    this.gesture = begin(this, this.#onPicture(at), this.#keys(event))
    if (!this.gesture) this.select(null)
    this.refresh()
  }

  /** @param {PointerEvent} event */
  #track(event) {
    const at = this.#onStage(event)
    const before = this.fingers.get(event.pointerId)
    if (before && this.fingers.size > 1) {
      this.#pinch(event.pointerId, before, at)
    } else if (before && this.panning) {
      this.view = panned(this.view, this.stageSize, this.shownSize, [at[0] - before[0], at[1] - before[1]])
    } else if (before && this.gesture) {
      for (const each of event.getCoalescedEvents?.() ?? []) this.gesture.move(this.#onPicture(this.#onStage(each)), this.#keys(event))
      this.gesture.move(this.#onPicture(at), this.#keys(event))
    }
    if (before) this.fingers.set(event.pointerId, at)
    this.hover = this.#onPicture(at)
    if (!before) this.stage.style.cursor = this.canDraw ? cursorAt(this, this.hover, this.#keys(event)) : 'default'
    this.invalidate()
  }

  /** @param {number} moved @param {Place} before @param {Place} after */
  #pinch(moved, before, after) {
    const other = [...this.fingers].find(([id]) => id !== moved)?.[1]
    if (!other) return
    this.view = zoomedAt(this.view, this.stageSize, this.shownSize, other, distance(after, other) / Math.max(1, distance(before, other)))
    this.view = panned(this.view, this.stageSize, this.shownSize, [(after[0] - before[0]) / 2, (after[1] - before[1]) / 2])
    this.refresh()
  }

  /** @param {PointerEvent} event @param {boolean} done */
  #release(event, done) {
    if (!this.fingers.delete(event.pointerId)) return
    const gesture = this.gesture
    this.panning = false
    if (!done) return this.#dropGesture()
    this.gesture = null
    gesture?.end()
    if (event.pointerType !== 'mouse') this.hover = null
    this.refresh()
  }

  #leave() {
    this.hover = null
    this.invalidate()
  }

  #dropGesture() {
    this.gesture = null
    this.painting = null
    this.aimed = null
    this.lasso = []
    this.drawing = this.committed
    this.#keepSelection()
    this.invalidate()
  }

  /** Of what is being done, else of what is selected. */
  #letGo() {
    if (this.gesture) this.#dropGesture()
    else this.selection = null
    this.refresh()
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    if (document.activeElement !== this.focus) return this.host.onWheel?.(event)
    event.preventDefault()
    event.stopPropagation()
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1
    this.zoom(Math.exp(-clamp(event.deltaY * lines, -300, 300) / 400), this.#onStage(event))
  }

  // ---- keys ----

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (!this.#understood(event)) return
    event.preventDefault()
    event.stopPropagation()
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether it was for the editor */
  #understood(event) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
    if (event.ctrlKey || event.metaKey) {
      if (key === 'z') event.shiftKey ? this.redo() : this.undo()
      else if (key === 'y') this.redo()
      else return false
      return true
    }
    if (event.altKey) return false
    const step = event.shiftKey ? 10 : 1
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.nudge([-step, 0]),
      ArrowRight: () => this.nudge([step, 0]),
      ArrowUp: () => this.nudge([0, -step]),
      ArrowDown: () => this.nudge([0, step]),
      Delete: () => this.remove(),
      Backspace: () => this.remove(),
      Escape: () => this.#letGo(),
      ' ': () => (this.spaceIsDown = true),
      '[': () => this.setBrush(this.brushShare / 1.2),
      ']': () => this.setBrush(this.brushShare * 1.2),
      '+': () => this.zoom(ZOOM_STEP),
      '=': () => this.zoom(ZOOM_STEP),
      '-': () => this.zoom(1 / ZOOM_STEP),
      0: () => this.fit(),
      p: () => this.#toggleResult(),
      r: () => this.putBack()
    }
    for (const { tool, key: letter } of TOOLS) if (this.has(tool)) keys[letter] = () => this.chooseTool(tool)
    // The slider has keys of its own, and Space presses the button that Tab has led to.
    const others = event.target instanceof HTMLInputElement || (key === ' ' && event.target instanceof HTMLButtonElement)
    if (others || !(key in keys)) return false
    keys[key]()
    return true
  }

  /** Points from other editors may be pasted. @param {ClipboardEvent} event */
  #paste(event) {
    const text = event.clipboardData?.getData('text') ?? ''
    event.preventDefault()
    event.stopPropagation()
    try {
      const drawing = parse(text, this.size)
      if (!drawing || drawing === NOTHING || !this.canDraw) return
      const count = this.committed.arrows.length + drawing.arrows.length
      if (!drawing.objects.length && count > MAX_ARROWS) return this.setNotice(say('tooMuchPasted', { count, most: MAX_ARROWS }))
      this.edit((now) => (drawing.objects.length ? drawing : { ...now, arrows: [...now.arrows, ...drawing.arrows] }))
    } catch (error) {
      if (!(error instanceof UnreadableDrawing)) throw error
      this.setNotice(say('unreadablePaste', { why: error.message }))
    }
  }

  // ---- on screen ----

  /** Panel and picture. */
  refresh() {
    this.panel.refresh(this)
    this.invalidate()
  }

  /** A new frame soon. */
  invalidate() {
    if (this.frame) return
    this.frame = requestAnimationFrame(() => {
      this.frame = 0
      this.draw()
    })
  }

  /** One frame; the words follow while a gesture lasts. */
  draw() {
    if (!this.stage.isConnected || !this.stage.clientWidth) return
    const [width, height] = this.stageSize
    const ratio = this.pixelRatio()
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)]
    if (this.canvas.width !== across || this.canvas.height !== down) Object.assign(this.canvas, { width: across, height: down })
    const context = this.canvas.getContext('2d')
    if (!context) return
    context.setTransform(1, 0, 0, 1, 0, 0)
    context.clearRect(0, 0, across, down)
    context.scale(ratio, ratio)
    const paints = this.tool === 'brush' || this.tool === 'eraser'
    const { layers, size, ground, active, selection, showsResult, painting, lasso } = this
    // Objects that are pasted stay where they are in their own picture.
    const drawing = this.onto && !ground ? { ...this.drawing, objects: this.drawing.objects.map(({ mask }) => newThing(mask)) } : this.drawing
    const brush = paints && this.hover && this.canDraw ? { at: this.hover, radius: this.brushRadius(), erases: this.tool === 'eraser' } : null
    // While masks are made, the object is where it is in the picture, or one could not paint on it.
    const shown = showsResult && (this.tool === 'move' || this.tool === 'arrow')
    // Only while an arrow is held: the next one begins on the picture as it is.
    const showsPull = shown && this.tool === 'arrow' && this.gesture !== null
    const pointed = this.tool === 'wand' && layers && !this.pointing?.obstacle ? this.pointed : null
    if (layers || drawing.size || ground) {
      drawFrame(context, { stage: [width, height], layers, size, ground, drawing, active, selection, showsResult: shown, showsPull, showsBox: this.tool === 'move', painting, lasso, brush, pointed }, this.viewMatrix())
    }
    if (this.gesture) this.panel.advise(this)
  }

  /** Device pixels for one of the stage, however much the graph is enlarged. */
  pixelRatio() {
    const [width, height] = this.stageSize
    const shown = this.canvas.getBoundingClientRect().width / width || 1
    return clamp(shown * (globalThis.devicePixelRatio || 1), 0.5, MOST_PIXELS / Math.max(width, height))
  }

  /** Draws again if the graph's zoom has changed since. */
  checkSharpness() {
    if (this.stage.isConnected && Math.round(this.stageSize[0] * this.pixelRatio()) !== this.canvas.width) this.invalidate()
  }

  destroy() {
    this.observer.disconnect()
    this.#forgetSeries()
    cancelAnimationFrame(this.frame)
    this.frame = 0
  }
}
