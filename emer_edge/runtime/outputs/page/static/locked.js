// Trades the token for a cookie that no script can read, then opens the page.

const answer = document.getElementById("answer");
const field = document.getElementById("token");

async function enter(token) {
  answer.textContent = "";
  try {
    const reply = await fetch("/enter", { headers: { Authorization: `Bearer ${token}` } });
    if (reply.ok) {
      location.reload();
      return;
    }
    answer.textContent = "That is not the token of this run.";
  } catch {
    answer.textContent = "The run does not answer. Is it still running?";
  }
  field.select();
}

document.getElementById("form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(field.value.trim());
});

// The part behind # never reaches a server or its logs; it leaves the address bar before anything else happens.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (location.hash) history.replaceState(null, "", location.pathname + location.search);
if (given) enter(given);
else field.focus();
