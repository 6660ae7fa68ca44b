"use strict";

// Keys go to the terminal without a click into it first, and to "Connect again" when there is none any more.
// textual.js tells by classes of the body how far it is.
new MutationObserver(() => {
  const state = document.body.classList;
  const target = state.contains("-closed") ? "#again" : state.contains("-first-byte") ? ".xterm-helper-textarea" : null;
  if (target !== null) document.querySelector(target).focus();
}).observe(document.body, { attributes: true, attributeFilter: ["class"] });
