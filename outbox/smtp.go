package outbox

import (
	"errors"
	"net"
	"net/url"
	"strconv"

	gomail "github.com/wneessen/go-mail"
)

// errSMTP does not show the URL, which may contain a password.
var errSMTP = errors.New("outbox: Options.SMTP must be smtp://user:password@host:port or smtps://...; " +
	"user, password and port are optional")

// newServer returns a client for the SMTP server at o.SMTP.
func newServer(o Options) (*gomail.Client, error) {
	u, err := url.Parse(o.SMTP)
	if err != nil || u.Hostname() == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return nil, errSMTP
	}
	options := []gomail.Option{gomail.WithTimeout(o.rescueAfter() / 8), gomail.WithoutNoop(), gomail.WithoutRset()}
	port := 587
	switch u.Scheme {
	case "smtp":
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	case "smtps":
		port = 465
		options = append(options, gomail.WithSSL())
	default:
		return nil, errSMTP
	}
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil || port < 1 || port > 65535 {
			return nil, errSMTP
		}
	}
	options = append(options, gomail.WithPort(port))
	if o.HelloHost != "" {
		options = append(options, gomail.WithHELO(o.HelloHost))
	}
	if u.User != nil {
		password, ok := u.User.Password()
		if !ok || u.User.Username() == "" {
			return nil, errSMTP
		}
		options = append(options, gomail.WithUsername(u.User.Username()), gomail.WithPassword(password))
		switch {
		case loopback(u.Hostname()):
			options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthPlainNoEnc))
		default:
			options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover))
			if u.Scheme == "smtp" {
				options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
			}
		}
	}
	client, err := gomail.NewClient(u.Hostname(), options...)
	if err != nil {
		return nil, errSMTP
	}
	return client, nil
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
