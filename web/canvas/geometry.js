/** Affine maps as [a, b, c, d, e, f]: (x, y) → (a x + c y + e, b x + d y + f), as a 2D context takes them. */

/** @typedef {readonly [number, number, number, number, number, number]} Matrix */
/** @typedef {readonly [number, number]} Place */

/** @type {Matrix} */
export const IDENTITY = [1, 0, 0, 1, 0, 0]

/** @param {Matrix} m @param {Place} p @returns {[number, number]} */
export const apply = (m, [x, y]) => [m[0] * x + m[2] * y + m[4], m[1] * x + m[3] * y + m[5]]

/** First `n`, then `m`. @param {Matrix} m @param {Matrix} n @returns {Matrix} */
export function multiply(m, n) {
  return [
    m[0] * n[0] + m[2] * n[1],
    m[1] * n[0] + m[3] * n[1],
    m[0] * n[2] + m[2] * n[3],
    m[1] * n[2] + m[3] * n[3],
    m[0] * n[4] + m[2] * n[5] + m[4],
    m[1] * n[4] + m[3] * n[5] + m[5]
  ]
}

/** @param {Matrix} m @returns {Matrix} */
export function inverse([a, b, c, d, e, f]) {
  const det = a * d - b * c
  return [d / det, -b / det, -c / det, a / det, (c * f - d * e) / det, (b * e - a * f) / det]
}

/**
 * Where an object goes, in pixels of the picture: scaled, then turned clockwise, about its centroid, then shifted.
 * @param {{ move: Place, scale: Place, rotation: number }} thing
 * @param {Place} centre fractions of the picture @param {Place} size of the picture
 * @returns {Matrix}
 */
export function placement({ move, scale, rotation }, centre, [width, height]) {
  const angle = (rotation * Math.PI) / 180
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
  const [x, y] = [centre[0] * width, centre[1] * height]
  /** @type {[number, number, number, number]} */
  const [a, b, c, d] = [cos * scale[0], sin * scale[0], -sin * scale[1], cos * scale[1]]
  return [a, b, c, d, x - a * x - c * y + Math.round(move[0] * width), y - b * x - d * y + Math.round(move[1] * height)]
}

/** @param {Place} p @param {Place} a @param {Place} b @returns {number} distance of p from the segment a b */
export function distanceToSegment(p, a, b) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]]
  const square = dx * dx + dy * dy
  const along = square ? Math.min(1, Math.max(0, ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / square)) : 0
  return Math.hypot(p[0] - a[0] - along * dx, p[1] - a[1] - along * dy)
}

/** @param {Place} a @param {Place} b */
export const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1])

/** @param {number} value @param {number} low @param {number} high */
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value))
