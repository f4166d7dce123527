// What the theme and the widgets leave without a name, or with the wrong one, for those who hear the page.
const PLAY = { "fa-play": "play", "fa-pause": "pause", "fa-stop": "stop and go back", "fa-retweet": "repeat", "fa-repeat": "repeat" };

function name_theme() {
  document.querySelectorAll(".search-button-field").forEach((button) => button.removeAttribute("aria-label"));  // its text says more
  document.querySelectorAll("details.hide > summary").forEach((summary) => summary.removeAttribute("aria-label"));  // it says what it shows
  document.querySelector(".bd-sidebar-primary .navbar-brand")?.parentElement.setAttribute("role", "banner");
  document.querySelectorAll(".bd-sidebar summary").forEach((summary) => summary.setAttribute("aria-label", "pages below this one"));
  document.querySelectorAll("dt.sig dl, dt.sig dd").forEach((line) => line.setAttribute("role", "presentation"));
}

function name_widgets() {
  document.querySelectorAll(".noUi-handle:not([aria-label])").forEach((handle) => {
    const label = handle.closest(".jupyter-widgets")?.querySelector(".widget-label");
    handle.setAttribute("aria-label", label?.textContent || "slider");
  });
  document.querySelectorAll(".jupyter-widgets button:not([aria-label])").forEach((button) => {
    const icon = [...(button.querySelector("i, svg")?.classList || [])].find((name) => name in PLAY);
    if (icon || button.title) button.setAttribute("aria-label", button.title || PLAY[icon]);
  });
}

document.addEventListener("DOMContentLoaded", () => {
  name_theme();
  if (document.querySelector('script[type="application/vnd.jupyter.widget-state+json"]'))
    new MutationObserver(name_widgets).observe(document.body, { childList: true, subtree: true });
});
