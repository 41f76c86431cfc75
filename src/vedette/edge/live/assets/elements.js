// Small makers of elements. Text goes in as text, never as markup.

export const make = (tag, className, ...children) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
};

export function plainButton(text, action) {
  const button = make("button", "plain", text);
  button.type = "button";
  button.addEventListener("click", action);
  return button;
}

export function numberField(label, value, take, limits, shown = label) {
  const input = document.createElement("input");
  input.type = "number";
  Object.assign(input, limits);
  if (value !== null) input.value = value;
  input.setAttribute("aria-label", label);
  input.addEventListener("change", () => take(input.valueAsNumber));
  return make("label", "field", shown, input);
}
