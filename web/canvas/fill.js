/**
 * Fills holes of a small picture from what surrounds them, by push and pull over a pyramid: cheap, smooth, good enough to see
 * what an edit would leave behind. The node's own filling happens in the model.
 */

/** @typedef {{ width: number, height: number, colour: Float32Array, weight: Float32Array }} Level */

/**
 * @param {Uint8ClampedArray} rgba is changed where `hole` is not 0
 * @param {Uint8Array} hole @param {number} width @param {number} height
 */
export function fillHoles(rgba, hole, width, height) {
  const levels = [finest(rgba, hole, width, height)]
  for (;;) {
    const last = levels[levels.length - 1]
    if (last.width === 1 && last.height === 1) break
    levels.push(coarser(last))
  }
  for (let i = levels.length - 2; i >= 0; i--) pull(levels[i], levels[i + 1])
  const { colour } = levels[0]
  for (let i = 0; i < hole.length; i++) {
    if (!hole[i]) continue
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = colour[3 * i + c]
    rgba[4 * i + 3] = 255
  }
}

/** @param {Uint8ClampedArray} rgba @param {Uint8Array} hole @param {number} width @param {number} height @returns {Level} */
function finest(rgba, hole, width, height) {
  const level = { width, height, colour: new Float32Array(3 * width * height), weight: new Float32Array(width * height) }
  for (let i = 0; i < hole.length; i++) {
    level.weight[i] = hole[i] ? 0 : 1
    for (let c = 0; c < 3; c++) level.colour[3 * i + c] = rgba[4 * i + c]
  }
  return level
}

/** Means of two by two, over what is known. @param {Level} fine @returns {Level} */
function coarser(fine) {
  const [width, height] = [Math.ceil(fine.width / 2), Math.ceil(fine.height / 2)]
  const level = { width, height, colour: new Float32Array(3 * width * height), weight: new Float32Array(width * height) }
  for (let y = 0; y < fine.height; y++) {
    for (let x = 0; x < fine.width; x++) {
      const from = y * fine.width + x
      if (!fine.weight[from]) continue
      const to = (y >> 1) * width + (x >> 1)
      level.weight[to] += fine.weight[from]
      for (let c = 0; c < 3; c++) level.colour[3 * to + c] += fine.weight[from] * fine.colour[3 * from + c]
    }
  }
  for (let i = 0; i < level.weight.length; i++) {
    if (!level.weight[i]) continue
    for (let c = 0; c < 3; c++) level.colour[3 * i + c] /= level.weight[i]
    level.weight[i] = Math.min(1, level.weight[i])
  }
  return level
}

/** What is unknown becomes the coarser level's colour, interpolated. @param {Level} fine @param {Level} coarse */
function pull(fine, coarse) {
  for (let y = 0; y < fine.height; y++) {
    const v = Math.min(coarse.height - 1, Math.max(0, y / 2 - 0.25))
    const [top, dy] = [Math.floor(v), v - Math.floor(v)]
    const bottom = Math.min(coarse.height - 1, top + 1)
    for (let x = 0; x < fine.width; x++) {
      const i = y * fine.width + x
      const known = fine.weight[i]
      if (known >= 1) continue
      const u = Math.min(coarse.width - 1, Math.max(0, x / 2 - 0.25))
      const [left, dx] = [Math.floor(u), u - Math.floor(u)]
      const right = Math.min(coarse.width - 1, left + 1)
      const [a, b] = [3 * (top * coarse.width + left), 3 * (top * coarse.width + right)]
      const [d, e] = [3 * (bottom * coarse.width + left), 3 * (bottom * coarse.width + right)]
      for (let c = 0; c < 3; c++) {
        const above = (1 - dx) * coarse.colour[a + c] + dx * coarse.colour[b + c]
        const below = (1 - dx) * coarse.colour[d + c] + dx * coarse.colour[e + c]
        fine.colour[3 * i + c] = known * fine.colour[3 * i + c] + (1 - known) * ((1 - dy) * above + dy * below)
      }
    }
  }
}
