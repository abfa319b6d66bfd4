// What ComfyUI gives to a pack's scripts, where its published types do not say so.

declare module "*/scripts/app.js" {
  type ComfyApp = import("@comfyorg/comfyui-frontend-types").ComfyApp;
  // Front ends differ in it: what is asked of it is looked for first.
  export const app: Omit<ComfyApp, "extensionManager"> & {
    // biome-ignore lint/suspicious/noExplicitAny: see above
    extensionManager: any;
  };
}

declare module "*/scripts/api.js" {
  type ComfyApi = import("@comfyorg/comfyui-frontend-types").ComfyApi;
  // Its own types know ComfyUI's own events; any name a server sends may be listened to.
  export const api: Omit<ComfyApi, "addEventListener" | "removeEventListener" | "queuePrompt"> &
    EventTarget & {
      queuePrompt(number: number, prompt: object, options: { partialExecutionTargets: string[] }): Promise<unknown>;
    };
}

declare const LiteGraph: import("@comfyorg/comfyui-frontend-types").LiteGraphGlobal;

// All that our scripts look for is an element with a style, and lies in a shadow root.
interface ParentNode {
  querySelector<Tag extends keyof HTMLElementTagNameMap>(tag: Tag): HTMLElementTagNameMap[Tag] | null;
  querySelector(selectors: string): HTMLElement | null;
}
interface Node {
  getRootNode(): ShadowRoot;
}
interface Event {
  composedPath(): [HTMLElement, ...HTMLElement[]];
}

/** ComfyUI adds this to its nodes when it runs; the published class does not have it. */
interface HoldsElements {
  addDOMWidget(
    name: string,
    type: string,
    element: HTMLElement,
    options: import("@comfyorg/comfyui-frontend-types").DOMWidgetOptions<string>,
  ): import("@comfyorg/comfyui-frontend-types").DOMWidget<HTMLElement, string>;
}
