// The card. It counts the token's time down by itself; everything else it is told by the kernel.

function element(parent, name, properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  parent.append(made);
  return made;
}

function clock(seconds) {
  const left = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(left / 3600);
  const minutes = Math.floor((left % 3600) / 60);
  return hours ? `${hours}:${two(minutes)}:${two(left % 60)}` : `${minutes}:${two(left % 60)}`;
}

function render({ model, el }) {
  const card = element(el, "div", { className: "reactive-auth-card" });
  const head = element(card, "div", { className: "head" });
  const dot = element(head, "span", { className: "dot" });
  const headline = element(head, "span", { className: "headline" });
  const facts = element(card, "dl");
  const fact = (name) => {
    element(facts, "dt", { textContent: name });
    return element(facts, "dd");
  };
  const email = fact("user");
  const session = fact("session");
  const token = fact("token");
  const trouble = element(card, "p", { className: "trouble" });

  const form = element(card, "form");
  const address = element(form, "input", {
    type: "email", placeholder: "E-mail", autocomplete: "off", required: true,
  });
  const password = element(form, "input", {
    type: "password", placeholder: "Password", autocomplete: "off", required: true,
  });
  const signIn = element(form, "button", { type: "submit", textContent: "Sign in" });

  const bar = element(card, "div", { className: "bar" });
  const refresh = element(bar, "button", { type: "button", textContent: "Refresh token" });
  const signOut = element(bar, "button", { type: "button", textContent: "Sign out" });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    model.send({ do: "sign_in", email: address.value, password: password.value });
    password.value = "";
  });
  refresh.addEventListener("click", () => model.send({ do: "refresh" }));
  signOut.addEventListener("click", () => model.send({ do: "sign_out" }));
  // JupyterLab takes keys typed in an output for its own.
  card.addEventListener("keydown", (event) => event.stopPropagation());

  let until = null;
  const count = () => {
    token.textContent = until === null ? "none" : clock((until - performance.now()) / 1000);
  };
  const show = () => {
    const view = model.get("view");
    const inside = view.status === "signed_in";
    const over = view.status === "closed";
    dot.className = `dot ${view.trouble ? "warn" : view.status}`;
    headline.textContent = over ? "Closed" : view.headline;
    email.textContent = view.email;
    session.textContent = view.session + (view.refreshing ? " · refreshing" : "");
    until = view.left === null ? null : performance.now() + view.left * 1000;
    count();
    trouble.textContent = view.failure || view.trouble;
    facts.hidden = !inside || over;
    bar.hidden = !inside || over;
    form.hidden = inside || over || view.status === "unknown";
    for (const button of [signIn, refresh, signOut]) button.disabled = view.busy;
  };
  const timer = setInterval(count, 1000);
  model.on("change:view", show);
  show();
  model.send({ do: "look" });
  return () => {
    clearInterval(timer);
    model.off("change:view", show);
  };
}

export default { render };
