/** Line icons on a grid of 20. */

const PATHS = {
  arrow: ['M4 16 15 5', 'M9 4.5h6.5V11', 'M4 16m-1.5 0a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0-3 0'],
  brush: ['M16.5 3.5 9 11', 'M9.5 10.5c-2.5-.6-4.6.8-4.9 3-.2 1.4-.9 2.2-2.1 2.7 2.7 1.2 7.6.9 8-3.2.1-1-.3-1.9-1-2.5z'],
  eraser: ['M8 16.5h9', 'M3.6 12.4 11.6 4.4a1.2 1.2 0 0 1 1.7 0l3.3 3.3a1.2 1.2 0 0 1 0 1.7L9.5 16.5H6.7l-3.1-3.1a.7.7 0 0 1 0-1z', 'M7.5 8.5l5 5'],
  lasso: ['M10 4c4.1 0 7.3 1.9 7.3 4.6S14.1 13.2 10 13.2 2.7 11.3 2.7 8.6 5.9 4 10 4z', 'M6 12.5c-1.5.6-1.6 2.6.2 2.7 1.7.1 1.7 1.8.3 2.3'],
  move: ['M10 2.5v15', 'M2.5 10h15', 'M7.7 4.8 10 2.5l2.3 2.3', 'M7.7 15.2 10 17.5l2.3-2.3', 'M4.8 7.7 2.5 10l2.3 2.3', 'M15.2 7.7 17.5 10l-2.3 2.3'],
  wand: ['M3 17 11.5 8.5', 'M9.7 10.3l-2-2', 'M14 2.5v3', 'M14 8.5v3', 'M9.5 7h3', 'M15.5 7h3', 'M10.9 3.9l1.4 1.4', 'M17.1 3.9l-1.4 1.4', 'M17.1 10.1l-1.4-1.4'],
  undo: ['M4 8h8a4.5 4.5 0 0 1 0 9H8', 'M7.5 4.5 4 8l3.5 3.5'],
  redo: ['M16 8H8a4.5 4.5 0 0 0 0 9h4', 'M12.5 4.5 16 8l-3.5 3.5'],
  remove: ['M4 5.5h12', 'M8 5.5V3.5h4v2', 'M5.5 5.5 6.3 17h7.4l.8-11.5', 'M8.5 8.5v5.5', 'M11.5 8.5v5.5'],
  result: ['M2 10s3-5.5 8-5.5S18 10 18 10s-3 5.5-8 5.5S2 10 2 10z', 'M10 10m-2.3 0a2.3 2.3 0 1 0 4.6 0a2.3 2.3 0 1 0-4.6 0'],
  fit: ['M3.5 7.5v-4h4', 'M16.5 7.5v-4h-4', 'M3.5 12.5v4h4', 'M16.5 12.5v4h-4'],
  add: ['M10 4.5v11', 'M4.5 10h11']
}

/** @typedef {keyof typeof PATHS} IconName */

const SVG = 'http://www.w3.org/2000/svg'

/** @param {IconName} name @returns {SVGSVGElement} */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', '0 0 20 20')
  svg.setAttribute('aria-hidden', 'true')
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, 'path')
    path.setAttribute('d', d)
    svg.append(path)
  }
  return svg
}
