// How the page talks to its server: the CSRF token goes with all that changes something; who is logged out logs in.

let session = null;

export async function currentSession(again = false) {
  if (!session || again) session = fetch("/session").then((response) => checked(response).json());
  return session;
}

export function checked(response) {
  if (response.status === 401) {
    location.assign(`/login${location.hash}`);
    throw new Error("logged out");
  }
  return response;
}

// A request that changes something. Answers with the response; asks once more where the run was started anew.
export async function change(method, path, document) {
  for (const again of [false, true]) {
    const { csrf } = await currentSession(again);
    const response = await fetch(path, {
      method,
      headers: { "Content-Type": "application/json", "X-Vedette-CSRF": csrf },
      body: document === undefined ? undefined : JSON.stringify(document),
    });
    if (response.status !== 403 || again) return checked(response);
  }
  return null;
}
