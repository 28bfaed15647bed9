import js from '@eslint/js'

export default [
  js.configs.recommended,
  {
    files: ['**/*.js'],
    languageOptions: { ecmaVersion: 2024, sourceType: 'module' },
    rules: {
      'no-undef': 'off', // TypeScript sees to that
      'no-eval': 'error',
      'no-implied-eval': 'error',
      'no-new-func': 'error',
      'no-console': 'error',
      'no-var': 'error',
      'prefer-const': ['error', { destructuring: 'all' }],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-restricted-properties': [
        'error',
        { object: 'document', property: 'addEventListener', message: 'Listen on elements of our own.' },
        { object: 'window', property: 'addEventListener', message: 'Listen on elements of our own.' },
        { property: 'prototype', message: 'Nothing of ComfyUI is patched.' },
        { property: 'innerHTML', message: 'Text is text: use textContent.' },
        { property: 'outerHTML', message: 'Text is text: use textContent.' },
        { property: 'insertAdjacentHTML', message: 'Text is text: use textContent.' }
      ]
    }
  }
]
