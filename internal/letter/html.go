package letter

import (
	"html"
	"strings"
)

// html/template would rewrite links and remove the conditional comments for Outlook. So every
// function here escapes what it inserts.

// pageHTML returns the document. body is HTML.
func pageHTML(title, body string) string {
	return strings.NewReplacer("{title}", html.EscapeString(title), "{body}", body).Replace(page)
}

// paragraphsHTML returns one p element for each paragraph.
func paragraphsHTML(paragraphs []string) string {
	var b strings.Builder
	for _, p := range paragraphs {
		b.WriteString(`<p style="margin:0 0 16px;">` + html.EscapeString(p) + "</p>\n")
	}
	return b.String()
}

// linkHTML returns a button, and the URL to copy.
func linkHTML(label, url string) string {
	return strings.NewReplacer("{label}", html.EscapeString(label), "{url}", html.EscapeString(url)).Replace(button)
}

// codeHTML returns a box with a code.
func codeHTML(code string) string {
	return strings.NewReplacer("{code}", html.EscapeString(code)).Replace(codeBox)
}

// The styles are inline because some email clients drop the style element, which only adds the dark
// colors. Outlook for Windows knows no max-width and gets a table of its own.
const page = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<meta name="format-detection" content="telephone=no">
<title>{title}</title>
<style>
:root { color-scheme: light dark; supported-color-schemes: light dark; }
@media (prefers-color-scheme: dark) {
.page { background-color: #111827 !important; }
.card { background-color: #1f2937 !important; color: #f3f4f6 !important; }
.code { background-color: #374151 !important; color: #ffffff !important; }
.url { color: #93c5fd !important; }
}
</style>
</head>
<body class="page" style="margin:0; padding:0; background-color:#f3f4f6;">
<table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0" border="0"
bgcolor="#f3f4f6" style="background-color:#f3f4f6;">
<tr>
<td align="center" style="padding:24px 12px;">
<!--[if mso]><table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0"><tr><td><![endif]-->
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"
style="max-width:600px; table-layout:fixed;">
<tr>
<td class="card" align="left" bgcolor="#ffffff"
style="padding:32px 24px 16px; border-radius:8px; background-color:#ffffff; color:#1f2937;
font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif; font-size:16px; line-height:24px;
word-wrap:break-word;">
<h1 style="margin:0 0 16px; font-size:22px; line-height:30px; font-weight:bold;">{title}</h1>
{body}</td>
</tr>
</table>
<!--[if mso]></td></tr></table><![endif]-->
</td>
</tr>
</table>
</body>
</html>
`

// Outlook for Windows ignores the padding of a link and pads the cell instead. Elsewhere, the
// padding belongs to the link, so that all of the button can be clicked.
const button = `<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="margin:8px 0 24px;">
<tr>
<td align="center" bgcolor="#1d4ed8"
style="border-radius:6px; background-color:#1d4ed8; mso-padding-alt:12px 24px;">
<a href="{url}"
style="display:inline-block; padding:12px 24px; border-radius:6px; color:#ffffff; font-weight:bold;
text-decoration:none;">{label}</a>
</td>
</tr>
</table>
<p style="margin:0 0 4px; font-size:14px; line-height:20px;">If the button doesn't work,
copy this URL into your browser:</p>
<p style="margin:0 0 24px; font-size:14px; line-height:20px; word-break:break-all;">
<a class="url" href="{url}"
style="color:#1d4ed8; word-break:break-all;">
{url}
</a>
</p>
`

// The digits are kept together, so that they can be copied at once. The space after the last one is
// part of the padding on the right.
const codeBox = `<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="margin:8px 0 24px;">
<tr>
<td class="code" align="center" bgcolor="#f3f4f6"
style="padding:12px 20px 12px 24px; border-radius:6px; background-color:#f3f4f6; color:#111827;
font-family:Consolas,Menlo,'Courier New',monospace; font-size:32px; line-height:40px; font-weight:bold;
letter-spacing:4px; white-space:nowrap;">{code}</td>
</tr>
</table>
`
