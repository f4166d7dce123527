// What the theme leaves without a name, or with the wrong one, for those who hear the page.
function name_theme() {
  document.querySelectorAll(".search-button-field").forEach((button) => button.removeAttribute("aria-label"));  // its text says more
  document.querySelectorAll("details.hide > summary").forEach((summary) => summary.removeAttribute("aria-label"));  // it says what it shows
  document.querySelector(".bd-sidebar-primary .navbar-brand")?.parentElement.setAttribute("role", "banner");
  document.querySelectorAll(".bd-sidebar summary").forEach((summary) => summary.setAttribute("aria-label", "pages below this one"));
  document.querySelectorAll("dt.sig dl, dt.sig dd").forEach((line) => line.setAttribute("role", "presentation"));
}

document.addEventListener("DOMContentLoaded", name_theme);
