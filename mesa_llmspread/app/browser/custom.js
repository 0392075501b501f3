// Solara includes this file in the page, before its own scripts are known to have come.
addEventListener("load", () => {
  if (window.Vue && window.requirejs) return;
  const message = document.createElement("div");
  message.id = "spread-missing";
  message.setAttribute("role", "alert");
  message.style = "margin: 2em; font: 18px/1.5 sans-serif";
  message.textContent =
    "This page cannot be shown: its scripts are not on the server, and the server could not get them from " +
    "the internet. Whoever runs the server installs them with the command below, and starts it again.";
  const command = document.createElement("pre");
  command.style = "font-size: 16px; white-space: pre-wrap";
  command.textContent = "pip install 'mesa_llmspread[offline]'";
  message.append(command);
  document.body.prepend(message);
});
