/* global SwaggerUIBundle */
const place = document.getElementById("docs");

/** Requests tried from this page are those of the signed-in user: Django wants its CSRF token. */
function withCsrf(request) {
  const cookie = document.cookie.match(/(?:^|; )(?:__Host-)?csrftoken=([^;]*)/);
  if (cookie && request.method && request.method !== "GET") {
    request.headers["X-CSRFToken"] = decodeURIComponent(cookie[1]);
  }
  return request;
}

SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  requestInterceptor: withCsrf,
});
