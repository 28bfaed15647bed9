/** Colours of what is drawn; nodes/pictures/annotation.py has the same ones. */

/** One for each object, in turn. */
export const OBJECTS = ['#ff40a0', '#00c8ff', '#ffbe00', '#60e060', '#ba82ff', '#ff783c']
export const ARROW = '#ff4a3c'
export const DARK = 'rgba(20, 20, 24, 0.9)'
export const LIGHT = '#ffffff'

/** @param {number} index @returns {string} */
export const objectColour = (index) => OBJECTS[index % OBJECTS.length]
