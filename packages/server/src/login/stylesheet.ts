/**
 * The one stylesheet. System fonts and no images, so that nothing is fetched from anywhere; every pair of colours has a contrast
 * of at least 4.5 to 1 (WCAG 2.2 §1.4.3), controls are 44 pixels high, and the column shrinks to 320 pixels.
 */
export const STYLESHEET = `:root {
  color-scheme: light dark;
  --ground: #f6f7f9;
  --card: #ffffff;
  --ink: #14181f;
  --quiet: #545d6b;
  --line: #838c9a;
  --accent: #1d4ed8;
  --on-accent: #ffffff;
  --notice: #fdf2dc;
  --on-notice: #5c3a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #101318;
    --card: #191e26;
    --ink: #eef1f5;
    --quiet: #a9b3c1;
    --line: #6f7a89;
    --accent: #9dbcff;
    --on-accent: #0b1730;
    --notice: #3a2c10;
    --on-notice: #ffe3ad;
  }
}
* { box-sizing: border-box; }
html { font: 100%/1.5 system-ui, sans-serif; background: var(--ground); color: var(--ink); }
body { margin: 0; padding: 1rem; }
main { max-width: 28rem; margin: 6vh auto 2rem; padding: 1.75rem; background: var(--card); border-radius: 0.75rem; overflow-wrap: anywhere; }
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25; }
h2 { margin: 2rem 0 0.75rem; font-size: 1.125rem; }
p { margin: 0 0 1rem; }
a { color: var(--accent); }
.organization { margin-bottom: 0.25rem; color: var(--quiet); font-size: 0.9375rem; }
.quiet, .reference { color: var(--quiet); font-size: 0.9375rem; }
.reference { font-family: ui-monospace, monospace; font-size: 0.8125rem; }
.notice { padding: 0.75rem 1rem; border-radius: 0.5rem; background: var(--notice); color: var(--on-notice); }
form { margin: 0 0 1rem; }
label { display: block; margin-bottom: 0.25rem; font-weight: 600; }
input:not([type="hidden"], [type="checkbox"], [type="radio"]) {
  width: 100%; min-height: 2.75rem; margin-bottom: 1rem; padding: 0.5rem 0.75rem;
  font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 0.5rem;
}
input.code { font: 600 1.5rem/1.3 ui-monospace, monospace; letter-spacing: 0.2em; text-transform: uppercase; }
button, .button {
  display: inline-block; min-height: 2.75rem; padding: 0.625rem 1.25rem; font: inherit; font-weight: 600; line-height: 1.5;
  color: var(--on-accent); background: var(--accent); border: 1px solid var(--accent); border-radius: 0.5rem;
  text-decoration: none; cursor: pointer;
}
button.secondary { color: var(--accent); background: transparent; }
.choices { display: flex; flex-wrap: wrap; gap: 0.75rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1rem; margin: 0 0 1rem; }
dt { color: var(--quiet); }
dd { margin: 0; }
ul.cards { margin: 0; padding: 0; list-style: none; }
ul.cards > li { padding: 0.75rem 0; border-top: 1px solid var(--line); }
ul.cards > li > span, ul.cards > li > form { display: block; margin: 0.25rem 0 0; }
ul.cards > li > strong + span { margin: 0; }
ul.cards > li > form { margin: 0.5rem 0 0.25rem; }
pre { padding: 1rem; overflow-x: auto; white-space: pre-wrap; background: var(--ground); border-radius: 0.5rem; }
`;
