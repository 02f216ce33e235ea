// Checks that every page must pass, run within the page. Each function returns how many checks it made
// (seen) and what is wrong, in words. DevTools evaluates this file, so the page's policy does not apply.
(() => {
	const all = (css) => Array.from(document.querySelectorAll(css));
	const shown = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;
	const aside = (e) => e.getBoundingClientRect().right <= 0; // the skip link, visible only when focused
	const words = (e) => e.textContent.trim().replace(/\s+/g, ' ');
	const name = (e) => `<${e.localName}${e.name ? ' name=' + e.name : ''}> ${JSON.stringify(words(e).slice(0, 40))}`;
	const report = () => ({ seen: 0, wrong: [], check(ok, what) { this.seen++; if (!ok) this.wrong.push(what); } });

	// structure checks what assistive technology relies on.
	function structure() {
		const r = report();
		const html = document.documentElement;
		r.check(html.lang === 'en', 'no language');
		r.check(document.compatMode === 'CSS1Compat', 'quirks mode');
		r.check(document.title.trim() !== '', 'no title');
		r.check(all('main').length === 1, 'there must be one main');
		r.check(all('script:not([src]), [style], [onclick]').length === 0, 'a script or a style in the page');
		const headings = all('h1, h2, h3, h4, h5, h6').filter(shown);
		r.check(headings.filter((h) => h.localName === 'h1').length === 1, 'there must be one h1');
		headings.forEach((h, i) => {
			const level = Number(h.localName[1]);
			r.check(words(h) !== '', `an empty ${h.localName}`);
			r.check(i === 0 ? level === 1 : level <= Number(headings[i - 1].localName[1]) + 1, `the headings skip a level at ${name(h)}`);
		});
		const ids = new Set();
		for (const e of all('[id]')) {
			r.check(!ids.has(e.id), `two elements have the id ${e.id}`);
			ids.add(e.id);
		}
		for (const e of all('[for], [aria-describedby], [aria-labelledby]')) {
			const to = ['for', 'aria-describedby', 'aria-labelledby'].map((a) => e.getAttribute(a) || '').join(' ');
			for (const id of to.split(/\s+/).filter(Boolean)) r.check(ids.has(id), `${name(e)} refers to ${id}, which is not there`);
		}
		for (const e of all('input:not([type=hidden]), select, textarea')) {
			if (e.closest('details:not([open])')) continue;
			const labels = Array.from(e.labels).filter((l) => shown(l) && words(l) !== '');
			r.check(labels.length > 0, `${name(e)} has no visible label`);
			if (e.type !== 'checkbox') r.check(e.autocomplete !== '', `${name(e)} has no autocomplete`);
			if (e.getAttribute('aria-invalid') === 'true') r.check(e.hasAttribute('aria-describedby') || all('[role=alert]').some(shown), `${name(e)} is invalid, and nothing says why`);
		}
		for (const e of all('img')) r.check(e.hasAttribute('alt'), `${name(e)} has no alt`);
		for (const e of all('a[href], button')) r.check(words(e) !== '' || e.ariaLabel, `${name(e)} has no text`);
		for (const e of all('[tabindex]')) r.check(e.tabIndex <= 0, `${name(e)} changes the order of the tabs`);
		return r;
	}

	// layout checks what must hold at every width.
	function layout() {
		const r = report();
		const width = document.documentElement.clientWidth;
		r.check(document.documentElement.scrollWidth <= width, `the page is ${document.documentElement.scrollWidth} wide, in a window of ${width}`);
		for (const e of all('body *')) {
			if (!shown(e) || aside(e)) continue;
			const box = e.getBoundingClientRect();
			r.check(box.left >= -0.5 && box.right <= width + 0.5, `${name(e)} reaches beyond the page`);
			if (getComputedStyle(e).overflowX !== 'visible' || e.matches('a, button, summary, .badge')) {
				const ellipsis = getComputedStyle(e).textOverflow === 'ellipsis' && e.title === words(e);
				if (e.localName !== 'input' && !ellipsis) r.check(e.scrollWidth <= e.clientWidth + 1 || getComputedStyle(e).display === 'inline', `${name(e)} is cut off`);
			}
		}
		for (const e of all('a[href], button, input:not([type=hidden]), summary')) {
			if (!shown(e) || aside(e)) continue;
			e.scrollIntoView({ block: 'center' });
			const box = (e.type === 'checkbox' ? e.labels[0] : e).getClientRects()[0];
			const inSentence = e.localName === 'a' && getComputedStyle(e).display === 'inline' && words(e.parentElement) !== words(e);
			if (!inSentence) r.check(box.width >= 24 && box.height >= 24, `${name(e)} is a target of ${Math.round(box.width)} by ${Math.round(box.height)}`);
			const hit = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
			r.check(hit && (hit === e || e.contains(hit) || hit.control === e), `${name(e)} is covered by ${hit && name(hit)}`);
			if (e.localName === 'input' && e.type !== 'checkbox') r.check(parseFloat(getComputedStyle(e).fontSize) >= 16, `${name(e)} has so small a text that a phone zooms in`);
		}
		scrollTo(0, 0);
		return r;
	}

	const parseColor = (text) => {
		const n = text.match(/^rgba?\(([^)]+)\)$/);
		if (!n) throw new Error(`an unexpected color format: ${text}`);
		const [red, green, blue, alpha = 1] = n[1].split(/[\s,/]+/).map(Number);
		return { red, green, blue, alpha };
	};
	const over = (top, below) => {
		const mix = (k) => top[k] * top.alpha + below[k] * (1 - top.alpha);
		return { red: mix('red'), green: mix('green'), blue: mix('blue'), alpha: 1 };
	};
	function backgroundOf(e) { // the background color of an element
		const layers = [];
		for (; e; e = e.parentElement) {
			const style = getComputedStyle(e);
			if (style.backgroundImage !== 'none' || style.opacity !== '1') throw new Error(`cannot determine the background of ${name(e)}`);
			layers.push(parseColor(style.backgroundColor));
		}
		const canvas = matchMedia('(prefers-color-scheme: dark)').matches ? 18 : 255;
		return layers.reduceRight((below, top) => over(top, below), { red: canvas, green: canvas, blue: canvas, alpha: 1 });
	}
	const luminance = (c) => {
		const [r, g, b] = [c.red, c.green, c.blue].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const contrast = (a, b) => {
		const [x, y] = [luminance(a), luminance(b)].sort((m, n) => n - m);
		return (x + 0.05) / (y + 0.05);
	};
	const atLeast = (r, least, a, b, what) => {
		const is = contrast(a, b);
		r.least = Math.min(r.least ?? 21, least === 4.5 ? is : 21);
		r.check(is >= least, `${what} has a contrast of ${is.toFixed(2)}, not ${least}`);
	};

	// colors checks WCAG 1.4.3 and 1.4.11: 4.5 to 1 for text, 3 to 1 for the edges of fields and buttons.
	function colors() {
		const r = report();
		for (const e of all('body *')) {
			if (!shown(e)) continue;
			const style = getComputedStyle(e);
			const hasText = Array.from(e.childNodes).some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim() !== '') || e.localName === 'input';
			if (hasText) atLeast(r, 4.5, over(parseColor(style.color), backgroundOf(e)), backgroundOf(e), `the text of ${name(e)}`);
			if (e.matches('input:not([type=hidden])')) atLeast(r, 3, parseColor(style.borderTopColor), backgroundOf(e.parentElement), `the edge of ${name(e)}`);
			if (e.matches('button, a.button') && style.borderTopStyle !== 'none') atLeast(r, 3, parseColor(style.borderTopColor), backgroundOf(e.parentElement), `the edge of ${name(e)}`);
		}
		return r;
	}

	const stops = () => all('a[href], button, input:not([type=hidden]), summary').filter(shown);

	// focus returns the focused element as an index in page order (-1 if none) and checks that it is visible.
	function focus() {
		const e = document.activeElement, r = report();
		const style = getComputedStyle(e), box = e.getBoundingClientRect();
		if (e === document.body) return { ...r, at: -1 };
		r.check(e.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2, `one does not see that ${name(e)} has the focus`);
		atLeast(r, 3, parseColor(style.outlineColor), backgroundOf(e.parentElement), `the focus of ${name(e)}`);
		r.check(box.left > -1 && box.top > -1 && box.bottom < innerHeight + 1 && box.right < innerWidth + 1, `${name(e)} has the focus out of sight`);
		return { ...r, at: stops().indexOf(e) };
	}

	return { structure, layout, colors, focus, stops: () => stops().length, start: () => stops()[0]?.focus() };
})()
