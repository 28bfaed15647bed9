/** The editor's elements: toolbar, stage, and the line that says what to do now. What is pressed goes to the editor. */

import { MAX_OBJECTS, NO_LENGTH, hasOwnMask, isPlaced, serialise } from './drawing.js'
import { icon } from './icons.js'
import { objectColour } from './palette.js'
import { goalOf } from './renderer.js'
import { say } from './words.js'

/** @typedef {import('./editor.js').Editor} Editor */
/** @typedef {import('./words.js').Word} Word */
/** @typedef {'arrow' | 'brush' | 'eraser' | 'lasso' | 'move' | 'wand'} Tool */
/**
 * @typedef {object} Actions
 * @property {(tool: Tool) => void} setTool
 * @property {(share: number) => void} setBrush
 * @property {(index: number) => void} activate
 * @property {() => void} addObject
 * @property {() => void} undo
 * @property {() => void} redo
 * @property {() => void} remove
 * @property {() => void} toggleResult
 * @property {() => void} fit
 * @property {() => void} startAnew
 */

/** @type {readonly { tool: Tool, key: string, title: Word }[]} */
export const TOOLS = [
  { tool: 'arrow', key: 'a', title: 'arrowTool' },
  { tool: 'brush', key: 'b', title: 'brushTool' },
  { tool: 'eraser', key: 'e', title: 'eraserTool' },
  { tool: 'lasso', key: 'l', title: 'lassoTool' },
  { tool: 'move', key: 'v', title: 'moveTool' },
  { tool: 'wand', key: 'w', title: 'wandTool' }
]

/** @type {Record<Tool, Word>} */
const HELP = { arrow: 'arrowHelp', brush: 'brushHelp', eraser: 'eraserHelp', lasso: 'lassoHelp', move: 'moveHelp', wand: 'wandHelp' }

/** The smallest brush, and how far the slider goes beyond, as shares of the picture's longer side. */
const [SMALLEST, RANGE] = [0.003, 0.2]

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {Record<string, string>} attributes @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.append(...children)
  return made
}

/** The name that a title begins with. @param {string} title */
const named = (title) => title.replace(/[(:（：].*/, '').trim()

/** @param {Node | string} face @param {string} title @param {() => void} act @param {string} [style] */
function button(face, title, act, style = '') {
  const made = element('button', { type: 'button', class: style, title, 'aria-label': named(title) }, face)
  made.addEventListener('click', act)
  return made
}

export class Panel {
  /** @param {Actions} actions */
  constructor(actions) {
    this.actions = actions
    this.canvas = element('canvas', {})
    // Focus lives in a text area: ComfyUI leaves alone what is typed, pasted and undone there.
    this.focus = element('textarea', { class: 'dragon-focus', readonly: '', inputmode: 'none', 'aria-label': say('editor') })
    this.zoomButton = button('', say('wholePicture'), actions.fit, 'dragon-zoom')
    this.message = element('div', { class: 'dragon-message' })
    // The empty title keeps the widget's own tooltip, which the frontend shows for all of it, off the picture.
    this.stage = element('div', { class: 'dragon-stage', title: '' }, this.canvas, this.focus, this.message, this.zoomButton)
    this.help = element('div', { class: 'dragon-help', role: 'status', title: '' })
    this.toolButtons = TOOLS.map(({ tool, title }) => button(icon(tool), say(title), () => actions.setTool(tool)))
    this.slider = element('input', { type: 'range', min: '0', max: '100', class: 'dragon-size', title: say('brushSize') })
    this.slider.setAttribute('aria-label', named(say('brushSize')))
    this.slider.addEventListener('input', () => actions.setBrush(SMALLEST + (Number(this.slider.value) / 100) ** 2 * RANGE))
    this.chips = element('div', { class: 'dragon-chips' })
    this.undoButton = button(icon('undo'), say('undo'), actions.undo)
    this.redoButton = button(icon('redo'), say('redo'), actions.redo)
    this.removeButton = button(icon('remove'), say('remove'), actions.remove)
    this.resultButton = button(icon('result'), say('showResult'), actions.toggleResult)
    const bar = element(
      'div',
      { class: 'dragon-bar', role: 'toolbar', 'aria-label': say('tools'), title: '' },
      element('div', { class: 'dragon-group' }, ...this.toolButtons),
      this.slider,
      this.chips,
      element('div', { class: 'dragon-group' }, this.undoButton, this.redoButton, this.removeButton, this.resultButton)
    )
    this.root = element('div', { class: 'dragon-canvas widget-expands' }, bar, this.stage, this.help)
  }

  /** @param {Editor} editor */
  refresh(editor) {
    const { drawing, tool, view, brushShare } = editor
    for (const [i, each] of this.toolButtons.entries()) {
      each.setAttribute('aria-pressed', String(TOOLS[i].tool === tool))
      each.hidden = !editor.has(TOOLS[i].tool)
    }
    this.resultButton.setAttribute('aria-pressed', String(editor.showsResult))
    this.undoButton.disabled = !editor.past.length
    this.redoButton.disabled = !editor.future.length
    this.removeButton.disabled = !drawing.arrows.length && !drawing.objects.length
    this.slider.style.visibility = tool === 'brush' || tool === 'eraser' ? 'visible' : 'hidden'
    this.slider.value = String(Math.round(Math.sqrt(Math.max(0, brushShare - SMALLEST) / RANGE) * 100))
    this.zoomButton.textContent = `${Math.round(view.zoom * 100)} %`
    this.zoomButton.hidden = view.zoom === 1
    this.message.textContent = editor.notice || say('connectPicture')
    this.message.hidden = Boolean(editor.layers)
    this.#numberObjects(editor)
    this.advise(editor)
  }

  /** The line below: what is wrong, what is selected, or what to do. @param {Editor} editor */
  advise(editor) {
    const warning = editor.problem || editor.notice || editor.ground?.notice || editor.warnings[0] || sizeWarning(editor)
    const note = warning ? '' : arrowNote(editor) || wandNote(editor) || shapeNote(editor)
    const text = warning || [note, selected(editor)].filter(Boolean).join(' ') || say(HELP[editor.tool])
    this.help.classList.toggle('dragon-warned', Boolean(warning || note))
    if (this.help.textContent === text && !editor.problem) return
    this.help.replaceChildren(text)
    if (editor.problem) this.help.append(' ', button(say('startAnew'), say('startAnewHelp'), this.actions.startAnew))
  }

  /** @param {Editor} editor */
  #numberObjects({ drawing, tool, active, canDraw }) {
    const chips = drawing.objects.map((_, index) => {
      const chip = button(String(index + 1), say('object', { number: index + 1 }), () => this.actions.activate(index), 'dragon-chip')
      chip.style.setProperty('--chip', objectColour(index))
      chip.setAttribute('aria-pressed', String(tool !== 'arrow' && index === active))
      return chip
    })
    const add = button(icon('add'), say('addObject'), this.actions.addObject)
    add.disabled = !canDraw || chips.length >= MAX_OBJECTS
    this.chips.replaceChildren(...chips, ...(chips.length ? [add] : []))
  }
}

/** @param {Editor} editor */
function sizeWarning({ committed, layers }) {
  const [drawn, now] = [committed.size, layers?.size]
  if (!drawn || !now || (drawn[0] === now[0] && drawn[1] === now[1]) || !serialise(committed)) return ''
  return say('otherSize', { drawn: drawn.join('×'), now: now.join('×') })
}

/** What may not be meant about the selected arrow, or the first of all; empty where nothing is. @param {Editor} editor */
function arrowNote({ drawing: { arrows }, selection, tool, size: [width, height] }) {
  if (tool !== 'arrow') return ''
  for (const [index, arrow] of arrows.entries()) {
    if (selection?.kind === 'arrow' && selection.index !== index) continue
    const [hx, hy, tx, ty] = arrow
    if (Math.hypot((tx - hx) * width, (ty - hy) * height) < NO_LENGTH) return say('arrowPins', { number: index + 1 })
    if (arrow.some((value) => value < 0 || value > 1)) return say('arrowLeaves', { number: index + 1 })
  }
  return ''
}

/** That scaling and turning do nothing where only the shift is wired. @param {Editor} editor */
function shapeNote({ drawing, tool, active, movesOnly }) {
  const thing = drawing.objects[active]
  if (tool !== 'move' || active || !movesOnly || !thing) return ''
  return thing.rotation || thing.scale.some((factor) => factor !== 1) ? say('shapeIgnored') : ''
}

/** Why pointing does not do what one expects; empty where it does. @param {Editor} editor */
function wandNote({ drawing, tool, pointing, hasPointed }) {
  if (tool !== 'wand') return ''
  return pointing?.obstacle || (hasPointed && hasOwnMask(drawing.objects[0]) ? say('wandPainted') : '')
}

/** Numbers of what is in hand, in pixels of the picture; empty where nothing is. @param {Editor} editor */
function selected({ drawing, selection, tool, active, ground, outside, pointed, hasPointed, pointing, size: [width, height] }) {
  if (tool === 'wand') return pointed && hasPointed && !pointing?.obstacle ? say('wandPointed', { x: pointed[0], y: pointed[1] }) : ''
  const arrow = selection?.kind === 'arrow' && drawing.arrows[selection.index]
  if (arrow) {
    const [hx, hy, tx, ty] = [arrow[0] * width, arrow[1] * height, arrow[2] * width, arrow[3] * height].map(Math.round)
    return say('arrowSelected', { number: selection.index + 1, from: `${hx}, ${hy}`, to: `${tx}, ${ty}` })
  }
  if (tool !== 'move') return ''
  const thing = drawing.objects[active]
  if (!thing?.mask) return say('maskFirst')
  if (!ground && !isPlaced(thing)) return ''
  const [across, down] = thing.scale.map((factor) => factor.toFixed(2))
  const [dx, dy] = [Math.round(thing.move[0] * width), Math.round(thing.move[1] * height)]
  const scale = across === down ? across : `${across} × ${down}`
  const rotation = Math.round(thing.rotation * 10) / 10
  const goal = ground && goalOf(thing, [width, height])
  if (!goal) return say('objectPlaced', { number: active + 1, dx, dy, scale, rotation })
  if (outside) return say('objectOutside', { number: active + 1 })
  const [x, y] = goal.map(Math.round)
  return say('objectPasted', { number: active + 1, x, y, scale, rotation })
}
