// Every behaviour of the pages, each bound by its own data-* attributes.
import htmx from "htmx.org";
import "./ago.js";
import "./check.js";
import "./copy.js";
import "./fold.js";
import "./lines.js";
import "./live.js";
import "./menu.js";
import "./pictures.js";
import "./rows.js";
import "./search.js";
import "./steps.js";
import "./submit.js";
import "./summary.js";
import "./switch.js";
import "./upload.js";

htmx.config.includeIndicatorCSS = false;
