// A signal's value. The HTML is the kernel's own, and escaped there.
function render({ model, el }) {
  const show = () => {
    el.innerHTML = model.get("html");
  };
  model.on("change:html", show);
  show();
  return () => model.off("change:html", show);
}

export default { render };
