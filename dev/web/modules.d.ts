declare module '*/scripts/app.js' {
  export const app: import('../../web/comfyui').App
}

declare module '*/scripts/api.js' {
  export const api: { apiURL(path: string): string }
}
