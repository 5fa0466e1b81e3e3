// Figures enlarge at a click, in a dialog that Esc or another click closes.
document.addEventListener("DOMContentLoaded", () => {
  const dialog = document.querySelector("dialog.zoom");
  const large = dialog.querySelector("img");
  for (const button of document.querySelectorAll("button.enlarge")) {
    button.addEventListener("click", () => {
      const image = button.querySelector("img");
      large.src = image.src;
      large.alt = image.alt;
      dialog.showModal();
    });
  }
  dialog.addEventListener("click", () => dialog.close());
});
