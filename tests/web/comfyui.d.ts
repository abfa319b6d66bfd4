// What ComfyUI gives to a pack's scripts, where its published types do not say so.

declare module "*/scripts/app.js" {
  export const app: import("@comfyorg/comfyui-frontend-types").ComfyApp;
}

declare module "*/scripts/api.js" {
  export const api: import("@comfyorg/comfyui-frontend-types").ComfyApi;
}

declare const LiteGraph: import("@comfyorg/comfyui-frontend-types").LiteGraphGlobal;

/** ComfyUI adds this to its nodes when it runs; the published class does not have it. */
interface HoldsElements {
  addDOMWidget(
    name: string,
    type: string,
    element: HTMLElement,
    options: import("@comfyorg/comfyui-frontend-types").DOMWidgetOptions<string>,
  ): import("@comfyorg/comfyui-frontend-types").DOMWidget<HTMLElement, string>;
}
