/** The colours of the pack's own links and their dots, apart from those that ComfyUI has for its types, on dark and light themes. */

/** @type {Readonly<Record<string, string>>} */
export const COLOURS = Object.freeze({
  DRAGON_TRAJECTORY: '#4fb3a9',
  DRAGON_BRANCH: '#e07a3f',
  DRAGON_ENERGY: '#d6455d',
  DRAGON_DRAWING: '#b48ae6',
  DRAGON_READINGS: '#8fa3b8',
  DRAGON_CROP: '#e6a8c8'
})

/** Nodes 2.0 asks the page's style. @returns {string} */
export const rules = () =>
  `:root { ${Object.entries(COLOURS)
    .map(([type, colour]) => `--color-datatype-${type}: ${colour};`)
    .join(' ')} }`

/**
 * LiteGraph has two tables, which ComfyUI fills anew with each palette, with nothing for types that it does not know. A palette
 * that has a colour for one of ours keeps it.
 * @param {(Record<string, string> | undefined)[]} tables
 */
export function fill(...tables) {
  for (const table of tables) {
    if (!table) continue
    for (const [type, colour] of Object.entries(COLOURS)) table[type] ||= colour
  }
}
