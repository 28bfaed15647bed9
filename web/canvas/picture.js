/** Where a node's picture comes from: a file that is chosen upstream, at once, or what the last run left. */

import { sourceOf } from './links.js'

/** @typedef {{ filename: string, subfolder: string, type: string }} StoredPicture */

const LOADERS = new Set(['LoadImage', 'LoadImageOutput'])
const KINDS = new Set(['input', 'output', 'temp'])
/** Pixels of the longer side of the copy by which transparency is found. */
const JUDGED = 512

/**
 * The picture that an input is linked to: the file if it is a loader's, and else null; and which node's output it is.
 * @param {import('../comfyui').LGraphNode} node @param {string} input
 * @returns {{ linked: boolean, file: StoredPicture | null, origin: string }}
 */
export function linkedPicture(node, input) {
  const { linked, source, origin } = sourceOf(node, input)
  if (!source || !LOADERS.has(source.type)) return { linked, file: null, origin }
  const chosen = source.widgets?.find(({ name }) => name === 'image')?.value
  const file = typeof chosen === 'string' ? stored(chosen, source.type === 'LoadImage' ? 'input' : 'output') : null
  return { linked, file, origin }
}

/** A loader's value: "folder/name.png" or "name.png [output]". @param {string} value @param {string} type @returns {StoredPicture | null} */
export function stored(value, type) {
  const annotated = /^(.*) \[(input|output|temp)\]$/.exec(value)
  const [path, kind] = annotated ? [annotated[1], annotated[2]] : [value, type]
  const cut = Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) // a server on Windows lists folders with the latter
  return path ? { filename: path.slice(cut + 1), subfolder: cut < 0 ? '' : path.slice(0, cut), type: kind } : null
}

/** What a run says its picture is; null for anything else. @param {unknown} item @returns {StoredPicture | null} */
export function ranPicture(item) {
  const { filename, subfolder, type } = /** @type {Partial<StoredPicture>} */ (item ?? {})
  const good = typeof filename === 'string' && typeof subfolder === 'string' && typeof type === 'string' && KINDS.has(type)
  return good ? { filename, subfolder, type } : null
}

/** @param {StoredPicture} file */
export const viewPath = (file) => `/view?${new URLSearchParams({ ...file })}`

/** As the model sees it: what lies under transparent places, too. @param {string} url @returns {Promise<HTMLImageElement>} */
export async function loaded(url) {
  const image = await fetched(url)
  return isOpaque(image) ? image : fetched(`${url}&channel=rgb`)
}

/** @param {string} url */
async function fetched(url) {
  const image = new Image()
  image.src = url
  await image.decode()
  return image
}

/** Judged by a small copy: scaled down well, it has a share of every pixel. @param {HTMLImageElement} image */
function isOpaque(image) {
  const share = Math.min(1, JUDGED / Math.max(image.naturalWidth, image.naturalHeight))
  const canvas = document.createElement('canvas')
  canvas.width = Math.max(1, Math.floor(image.naturalWidth * share))
  canvas.height = Math.max(1, Math.floor(image.naturalHeight * share))
  const context = canvas.getContext('2d', { willReadFrequently: true })
  if (!context) return true
  context.imageSmoothingQuality = 'high'
  context.drawImage(image, 0, 0, canvas.width, canvas.height)
  return context.getImageData(0, 0, canvas.width, canvas.height).data.every((value, i) => i % 4 < 3 || value === 255)
}
