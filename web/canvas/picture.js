/** Where a node's picture comes from: a file that is chosen upstream, at once, or what the last run left. */

import { doubtOf } from './decoding.js'
import { sourceOf, widgetValue } from './links.js'

/** @typedef {{ filename: string, subfolder: string, type: string }} StoredPicture */
/** @typedef {{ picture: StoredPicture, chosen: string }} RanPicture what a node got in a run; chosen: in the loader that gave it, if one did */

const LOADERS = new Set(['LoadImage', 'LoadImageOutput'])
const KINDS = new Set(['input', 'output', 'temp'])
/** Pixels of the longer side of the copy by which transparency is found. */
const JUDGED = 512
/** Bytes of a file before its pixels. */
const HEADER = 65536

/**
 * The picture that an input is linked to: the file if it is a loader's, and else null; and which node's output it is.
 * @param {import('../comfyui').LGraphNode} node @param {readonly import('../comfyui').LGraphNode[]} hosts the subgraph nodes that it is in
 * @param {string} input
 * @returns {{ linked: boolean, idle: boolean, file: StoredPicture | null, chosen: string, origin: string }}
 */
export function linkedPicture(node, hosts, input) {
  const { linked, idle, node: source, hosts: around, origin } = sourceOf(node, input, hosts)
  if (!source || !LOADERS.has(source.type)) return { linked, idle: Boolean(idle), file: null, chosen: '', origin }
  const chosen = widgetValue(source, 'image', around)
  if (typeof chosen !== 'string') return { linked, idle: false, file: null, chosen: '', origin }
  return { linked, idle: false, file: stored(chosen, source.type === 'LoadImage' ? 'input' : 'output'), chosen, origin }
}

/** A loader's value: "folder/name.png" or "name.png [output]". @param {string} value @param {string} type @returns {StoredPicture | null} */
export function stored(value, type) {
  const annotated = /^(.*) \[(input|output|temp)\]$/.exec(value)
  const [path, kind] = annotated ? [annotated[1], annotated[2]] : [value, type]
  const cut = Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) // a server on Windows lists folders with the latter
  return path ? { filename: path.slice(cut + 1), subfolder: cut < 0 ? '' : path.slice(0, cut), type: kind } : null
}

/** What a run says its picture is; null for anything else. @param {unknown} item @returns {RanPicture | null} */
export function ranPicture(item) {
  const { filename, subfolder, type, chosen } = /** @type {Partial<StoredPicture & { chosen: unknown }>} */ (item ?? {})
  const good = typeof filename === 'string' && typeof subfolder === 'string' && typeof type === 'string' && KINDS.has(type)
  return good ? { picture: { filename, subfolder, type }, chosen: typeof chosen === 'string' ? chosen : '' } : null
}

/** The server has no such file (any more). */
export class MissingPicture extends Error {}

/** @param {StoredPicture} file */
export const viewPath = (file) => `/view?${new URLSearchParams({ ...file })}`

/**
 * As the model sees it: what lies under transparent places, too. What the browser cannot decode, the server does.
 * @param {string} url
 * @returns {Promise<{ image: HTMLImageElement, unsure: boolean }>} unsure: a run may have it otherwise
 */
export async function loaded(url) {
  const answer = await fetch(url)
  if (answer.status === 404) throw new MissingPicture(url)
  if (!answer.ok) throw new Error(`${answer.status}`)
  const file = await answer.blob()
  const doubt = doubtOf(await file.slice(0, HEADER).arrayBuffer())
  const image = await decoded(URL.createObjectURL(file)).catch(() => null)
  if (image && (doubt.turned || isOpaque(image))) return { image, unsure: doubt.unsure }
  return { image: await decoded(`${url}&channel=rgb`), unsure: doubt.unsure || !image }
}

/** @param {string} url */
async function decoded(url) {
  const image = new Image()
  image.src = url
  try {
    await image.decode()
    return image
  } finally {
    if (url.startsWith('blob:')) URL.revokeObjectURL(url)
  }
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
