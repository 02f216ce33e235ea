// Everything works without this script.

// Adds a button to each password field that shows what was typed.
'use strict';
for (const field of document.querySelectorAll('.secret')) {
	const input = field.querySelector('input');
	const button = document.createElement('button');
	const show = (visible) => {
		input.type = visible ? 'text' : 'password';
		button.textContent = visible ? 'Hide' : 'Show';
		button.setAttribute('aria-label', `${button.textContent} ${input.labels[0].textContent.toLowerCase()}`);
	};
	button.type = 'button';
	button.className = 'plain';
	button.setAttribute('aria-controls', input.id);
	button.addEventListener('click', () => show(input.type === 'password'));
	input.form.addEventListener('submit', () => show(false)); // or the browser may offer it as a suggestion
	input.spellcheck = false; // some browsers send text to a server to check it
	show(false);
	field.append(button);
}

// A double click sends a form once.
for (const form of document.forms) {
	let sent = -Infinity;
	form.addEventListener('submit', (event) => {
		if (event.timeStamp - sent < 1000) event.preventDefault();
		else sent = event.timeStamp;
	});
}

// Times are in UTC without a script, and then in that of the browser.
for (const time of document.querySelectorAll('time[datetime$=Z]')) {
	time.textContent = new Date(time.dateTime).toLocaleString(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'short' });
}
