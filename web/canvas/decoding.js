/** Where a browser may show a file otherwise than ComfyUI reads it; judged by the file's first bytes. */

/** @typedef {{ unsure: boolean, turned: boolean }} Doubt turned: by a note in the file that only the browser, and Load Image, go by */

const PNG = [0x89, 0x50, 0x4e, 0x47]
const [GREY, GREY_ALPHA] = [0, 4]
/** Flags in the header of an extended WebP. */
const WEBP_EXIF = 0x08
/** Texts in a PNG that Load Image, and no browser, reads an orientation from: ImageMagick's copy of EXIF, and XMP's. */
const NOTES = ['Raw profile type exif', 'tiff:Orientation']
/** PNG chunks before the pixels; a broken file has no end of them. */
const MOST_CHUNKS = 100

/** @param {ArrayBuffer} buffer a file @returns {Doubt} */
export function doubtOf(buffer) {
  const bytes = new Uint8Array(buffer)
  if (PNG.every((value, i) => bytes[i] === value)) return doubtOfPng(new DataView(buffer))
  if (text(bytes, 0) === 'RIFF' && text(bytes, 8) === 'WEBP' && text(bytes, 12) === 'VP8X') {
    const turned = (bytes[20] & WEBP_EXIF) !== 0
    return { unsure: turned, turned }
  }
  return { unsure: false, turned: false }
}

/** @param {DataView} view @returns {Doubt} */
function doubtOfPng(view) {
  if (view.byteLength < 33) return { unsure: false, turned: false }
  const [depth, kind] = [view.getUint8(24), view.getUint8(25)]
  const chunks = new Set()
  let noted = false
  for (let at = 8, count = 0; at + 8 <= view.byteLength && count < MOST_CHUNKS; count++) {
    const [name, length] = [text(new Uint8Array(view.buffer), at + 4), view.getUint32(at)]
    chunks.add(name)
    noted ||= /^(tE|zT|iT)Xt$/.test(name) && NOTES.some((note) => text(new Uint8Array(view.buffer), at + 8, length).includes(note))
    at += 12 + length
  }
  const turned = chunks.has('eXIf')
  const deep = depth === 16 && (kind === GREY || kind === GREY_ALPHA)
  // tRNS: one colour, or some of a palette's, are transparent.
  return { unsure: turned || noted || deep || chunks.has('tRNS'), turned }
}

/** @param {Uint8Array} bytes @param {number} at @param {number} [length] */
const text = (bytes, at, length = 4) => new TextDecoder('latin1').decode(bytes.subarray(at, at + length))
