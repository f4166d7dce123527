// Before the library of widgets is loaded: it looks for its icons where require.js would look for its modules, so let that
// be beside the library; and it changes its icons itself, so the theme's Font Awesome must not redraw them.
{
  const home = new URL("vendor/html-manager", document.currentScript.src).pathname;
  requirejs.config({ paths: { "@jupyter-widgets/html-manager/dist": home, "@jupyter-widgets": home } });
  window.FontAwesomeConfig = { observeMutations: false };
}
