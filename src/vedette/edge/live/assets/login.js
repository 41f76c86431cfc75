// Exchanges the token for a cookie that no script can read. See guard.py.
const form = document.getElementById("login");
const token = document.getElementById("token");
const refused = document.getElementById("refused");
const button = form.querySelector("button");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  refused.textContent = "";
  try {
    const response = await fetch("/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: token.value }),
    });
    if (response.ok) {
      location.replace(`/${location.hash}`);
      return;
    }
    const said = await response.text();
    refused.textContent = `${said.charAt(0).toUpperCase()}${said.slice(1)}.`;
  } catch {
    refused.textContent = "No connection to Vedette.";
  }
  button.disabled = false;
  token.select();
});
