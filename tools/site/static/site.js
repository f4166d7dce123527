// What the theme leaves without a name, or with the wrong one, for those who hear the page.
function name_theme() {
  document.querySelectorAll(".search-button-field").forEach((button) => button.removeAttribute("aria-label"));  // its text says more
  document.querySelectorAll("details.hide > summary").forEach((summary) => summary.removeAttribute("aria-label"));  // it says what it shows
  document.querySelector(".bd-sidebar-primary .navbar-brand")?.parentElement.setAttribute("role", "banner");
  document.querySelectorAll(".bd-sidebar summary").forEach((summary) => summary.setAttribute("aria-label", "pages below this one"));
  document.querySelectorAll("dt.sig dl, dt.sig dd").forEach((line) => line.setAttribute("role", "presentation"));
}

document.addEventListener("DOMContentLoaded", name_theme);

// On a phone a wide picture keeps letters that can be read, and scrolls in its own box; what scrolls says so.
const SMALLEST = .65;                                        // of its own size
function keep_readable() {
  const boxes = document.querySelectorAll(".bd-article .cell_output, .bd-article .pst-scrollable-table-container");
  const mark = () => boxes.forEach((box) => {
    const wide = box.scrollWidth > box.clientWidth + 8;
    box.classList.toggle("scrolls", wide);
    if (wide) box.tabIndex = 0; else box.removeAttribute("tabindex");   // so that the arrow keys scroll it, too
  });
  document.querySelectorAll(".bd-article .cell_output img").forEach((picture) => {
    const fit = () => { picture.style.minWidth = `${Math.round(SMALLEST * picture.naturalWidth)}px`; mark(); };
    if (picture.complete) fit(); else picture.addEventListener("load", fit);
  });
  addEventListener("resize", mark);
  mark();
}
document.addEventListener("DOMContentLoaded", keep_readable);
