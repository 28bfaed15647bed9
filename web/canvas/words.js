/** The canvas' own words, in the languages of locales/. What a run says (its warnings) comes from Python, and is English. */

/** What stands in braces is put in by whoever says it. */
const ENGLISH = Object.freeze({
  arrowTool: 'Arrow (A): drag from a point to where it should go. Alt begins a new one on top of another',
  brushTool: 'Brush (B): paint over an object. Alt erases, [ and ] change the size',
  eraserTool: 'Eraser (E): take away from the mask',
  lassoTool: 'Lasso (L): draw round an object. Alt cuts away',
  moveTool: 'Move (V): drag, scale and turn the masked object',
  wandTool: 'Wand (W): point at the object, and Dragon Auto Mask masks it at the next run',

  arrowHelp: 'Drag from a point to its goal, or an end to change it. Alt: always a new one.',
  brushHelp: 'Paint over the object, its shadow too. Then take the Move tool.',
  eraserHelp: 'Paint over what should not be masked.',
  lassoHelp: 'Draw round the object. Then take the Move tool.',
  moveHelp: 'Drag the object. Corners scale it, the round handle turns it. Arrow keys nudge.',
  wandHelp: 'Point at the object: Dragon Auto Mask masks it at the next run.',

  tools: 'Drawing tools',
  editor: 'Picture editor',
  brushSize: 'Brush size ([ and ])',
  object: 'Object {number}',
  addObject: 'One more object, for a Dragon Canvas Object node',
  undo: 'Undo (Ctrl+Z)',
  redo: 'Redo (Ctrl+Shift+Z)',
  remove: 'Delete the selected arrow or object (Del)',
  showResult: 'Show objects where they go (P)',
  wholePicture: 'Whole picture (0). Scroll to zoom, hold Space and drag to pan',

  connectPicture: 'Connect a picture to draw on.',
  runOnce: 'Run once: the picture is made by another node and shows after its first run.',
  pictureLost: 'The picture cannot be loaded: choose another, or run again. Your drawing is kept.',
  pictureIdle: 'The node that gives the picture is muted or bypassed: let it run to draw here.',
  pictureUnsure: 'Your browser may show this kind of file otherwise than ComfyUI reads it: run once to see what the model sees.',
  pictureHidden: 'ComfyUI shows no file with two dots in its name: run once to see it here, or rename it.',
  otherSize: 'Drawn on {drawn}, the picture is now {now}: check that everything still lies where it should.',
  maskSmoothed: 'The mask had more detail than can be kept and was smoothed. Undo takes that back.',
  maskFirst: 'First paint over an object with the brush or the lasso.',
  arrowSelected: 'Arrow {number}: {from} → {to} px. Arrow keys nudge, Del removes.',
  arrowPins: 'Arrow {number} has no length: it only pins its point.',
  arrowLeaves: 'Arrow {number} leaves the picture.',
  objectPlaced: 'Object {number}: dx {dx}, dy {dy} px, scale {scale}, {rotation}°. R puts it back.',
  objectPasted: 'Object {number}: middle at {x}, {y} px, scale {scale}, {rotation}°. R puts it back.',
  shapeIgnored: 'Scale and rotation have no effect here, only where it goes: Dragon resize takes them too.',
  objectOutside: 'Object {number} lies outside of this picture: press where it should go.',

  wandPointed: 'Dragon Auto Mask looks at {x}, {y} px: a run masks what is there.',
  wandPainted: 'Object 1 has a painted mask, which goes first: delete it (Del) to have what is here masked.',
  wandPoints: 'Dragon Auto Mask takes points from a link: remove the link to its points to point here.',
  wandNumbers: 'Dragon Auto Mask takes x or y from a link: remove that link to point here.',
  wandPicture: 'Dragon Auto Mask looks at another picture: link this one to its image to point here.',
  wandIdle: 'Dragon Auto Mask is muted or bypassed: let it run to point here.',

  startAnew: 'Start anew',
  startAnewHelp: 'Throws the unreadable drawing away',
  unreadable: 'The saved drawing cannot be read: {why}. It is kept until you start anew.',
  unreadablePaste: 'What you pasted is no list of points: {why}.',
  tooMuchPasted: 'With what you pasted there would be {count} arrows, more than the {most} that are possible.',
  notDrawing: 'it is not a drawing',
  notJson: 'it is not JSON',
  tooLong: 'it is far too long',
  newerVersion: 'a newer Dragon made it',
  unknownVersion: 'it has no version that is known',
  brokenArrows: 'its arrows are no list',
  brokenObjects: 'its objects are no list',
  tooManyArrows: 'it has {count} arrows, more than {most}',
  tooManyObjects: 'it has {count} objects, more than {most}',
  brokenSize: 'the size has numbers that make no sense',
  brokenArrow: 'arrow {number} has numbers that make no sense',
  farArrow: 'arrow {number} lies far outside of the picture',
  brokenNumbers: 'object {number} has numbers that make no sense',
  brokenObject: 'object {number} is no object',
  brokenMask: 'the mask of object {number} is broken',
  lacksTarget: 'its last handle has no target',
  notPairs: 'its points are no pairs of handle and target',
  notNumbers: 'its points are not all numbers'
})

/** @typedef {keyof typeof ENGLISH} Word */
/** @typedef {Readonly<Record<string, string | number>>} Values */

/** @type {Readonly<Record<Word, string>>} */
const CHINESE = Object.freeze({
  arrowTool: '箭头（A）：从一个点拖到它该去的位置。按住 Alt 可在已有箭头上新画一个',
  brushTool: '画笔（B）：涂抹物体。按住 Alt 擦除，[ 和 ] 调整大小',
  eraserTool: '橡皮（E）：擦去部分遮罩',
  lassoTool: '套索（L）：圈出物体。按住 Alt 剪去',
  moveTool: '移动（V）：拖动、缩放和旋转遮罩覆盖的物体',
  wandTool: '魔棒（W）：指向物体，“Dragon 自动遮罩”会在下次运行时为它生成遮罩',

  arrowHelp: '从一个点拖到它该去的位置；拖动一端可以修改。按住 Alt 总是新画一个。',
  brushHelp: '涂抹物体，连同它的影子，然后使用“移动”工具。',
  eraserHelp: '涂抹不该被遮罩覆盖的部分。',
  lassoHelp: '圈出物体，然后使用“移动”工具。',
  moveHelp: '拖动物体。四角缩放，圆形手柄旋转，方向键微调。',
  wandHelp: '指向物体：“Dragon 自动遮罩”会在下次运行时为它生成遮罩。',

  tools: '绘制工具',
  editor: '图像编辑器',
  brushSize: '画笔大小（[ 和 ]）',
  object: '物体 {number}',
  addObject: '添加一个物体，供“Dragon 画布物体”节点使用',
  undo: '撤销（Ctrl+Z）',
  redo: '重做（Ctrl+Shift+Z）',
  remove: '删除所选的箭头或物体（Del）',
  showResult: '在移动后的位置显示物体（P）',
  wholePicture: '显示整幅图像（0）。滚轮缩放，按住空格拖动可平移',

  connectPicture: '请连接一张图像，然后在上面绘制。',
  runOnce: '请先运行一次：图像由其他节点生成，第一次运行后才会显示。',
  pictureLost: '无法加载图像：请选择另一张，或重新运行。绘制内容不会丢失。',
  pictureIdle: '提供图像的节点已被静音或绕过：让它参与运行，才能在这里绘制。',
  pictureUnsure: '浏览器显示这种文件的方式可能与 ComfyUI 的读取结果不同：请先运行一次，查看模型所见的图像。',
  pictureHidden: 'ComfyUI 不显示文件名中带有两个点的文件：请先运行一次，或重命名文件。',
  otherSize: '绘制时图像为 {drawn}，现在为 {now}：请检查所有内容是否仍在正确的位置。',
  maskSmoothed: '遮罩的细节过多，无法全部保留，已作平滑处理。可以撤销。',
  maskFirst: '请先用画笔或套索涂抹物体。',
  arrowSelected: '箭头 {number}：{from} → {to} 像素。方向键微调，Del 删除。',
  arrowPins: '箭头 {number} 没有长度：只会固定所在的点。',
  arrowLeaves: '箭头 {number} 超出了图像。',
  objectPlaced: '物体 {number}：dx {dx}，dy {dy} 像素，缩放 {scale}，{rotation}°。按 R 放回原处。',
  objectPasted: '物体 {number}：中心在 {x}，{y} 像素，缩放 {scale}，{rotation}°。按 R 放回原处。',
  shapeIgnored: '缩放和旋转在这里不起作用，只有位置有效：Dragon resize 也会使用它们。',
  objectOutside: '物体 {number} 在这张图像之外：请在它该去的位置按下。',

  wandPointed: '“Dragon 自动遮罩”将查看 {x}，{y} 像素处：运行后即得到那里的遮罩。',
  wandPainted: '物体 1 已有绘制的遮罩，以它为准：删除它（Del），才能为这里生成遮罩。',
  wandPoints: '“Dragon 自动遮罩”的点来自连线：断开它的 points 连线，才能在这里指点。',
  wandNumbers: '“Dragon 自动遮罩”的 x 或 y 来自连线：断开该连线，才能在这里指点。',
  wandPicture: '“Dragon 自动遮罩”查看的是另一张图像：将这张图像接到它的 image，才能在这里指点。',
  wandIdle: '“Dragon 自动遮罩”已被静音或绕过：让它参与运行，才能在这里指点。',

  startAnew: '重新开始',
  startAnewHelp: '丢弃无法读取的绘制内容',
  unreadable: '无法读取已保存的绘制内容：{why}。重新开始之前会一直保留。',
  unreadablePaste: '粘贴的内容不是点的列表：{why}。',
  tooMuchPasted: '粘贴后共有 {count} 个箭头，超过上限 {most} 个。',
  notDrawing: '不是绘制内容',
  notJson: '不是 JSON',
  tooLong: '内容过长',
  newerVersion: '由更新版本的 Dragon 生成',
  unknownVersion: '版本未知',
  brokenArrows: '箭头不是列表',
  brokenObjects: '物体不是列表',
  tooManyArrows: '有 {count} 个箭头，超过 {most} 个',
  tooManyObjects: '有 {count} 个物体，超过 {most} 个',
  brokenSize: '尺寸的数值不合理',
  brokenArrow: '箭头 {number} 的数值不合理',
  farArrow: '箭头 {number} 远在图像之外',
  brokenNumbers: '物体 {number} 的数值不合理',
  brokenObject: '物体 {number} 的格式不正确',
  brokenMask: '物体 {number} 的遮罩已损坏',
  lacksTarget: '最后一个控制点没有目标点',
  notPairs: '点没有按控制点和目标点成对',
  notNumbers: '点的坐标并非全是数字'
})

/** @type {Readonly<Record<Word, string>>} */
let spoken = ENGLISH

/** From now on; called when an editor is made, as the frontend makes all nodes anew when its language changes. @param {unknown} locale its setting */
export function speak(locale) {
  spoken = typeof locale === 'string' && /^zh\b/.test(locale) ? CHINESE : ENGLISH
}

/** @param {Word} word @param {Values} [values] for what stands in braces */
export const say = (word, values = {}) => spoken[word].replace(/\{(\w+)\}/g, (_, name) => String(values[name]))
