package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/medama-io/go-useragent"
	"github.com/medama-io/go-useragent/agents"
)

const (
	deviceCookie   = "__Host-device"
	deviceLifetime = 400 * 24 * time.Hour // the longest time that browsers keep a cookie
)

// newNewDevice is the factory of the new_device hook. The hook sets a long-lived cookie. It emails
// the user after a sign-in with a new browser, unless it is the first browser of the account. The
// cookie does not sign anyone in. It only prevents that email, and it prevents guessing elsewhere
// from locking out its owner (see ratelimit.go).
func (s *service) newNewDevice(p flowhook.Point, _ func(v any) error) (flowhook.Hook, error) {
	signsIn := []flowhook.Flow{flowhook.Login, flowhook.Registration, flowhook.Recovery}
	if p.Phase != flowhook.After || !slices.Contains(signsIn, p.Flow) {
		return nil, errors.New("new_device is allowed only after login, and after a registration or recovery that signs " +
			"the user in")
	}
	const does = "Emails the user about a sign-in with a new browser, and remembers the browser."
	return described{does, func(ctx context.Context, x *flowhook.Exchange) error {
		if x.Identity == nil || x.Session == nil {
			return errors.New("no user is signed in; put the session hook before new_device")
		}
		device := device(x.Request)
		if device == "" {
			device = rand.Text()
		}
		known, others, err := s.db.seeDevice(ctx, x.Identity.ID, device, client(x.Request), s.now())
		if err != nil {
			return err
		}
		http.SetCookie(x.Writer, &http.Cookie{Name: deviceCookie, Value: device, Path: "/",
			MaxAge: int(deviceLifetime / time.Second),
			Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		if known || !others {
			return nil
		}
		for _, a := range x.Identity.Addresses {
			if !a.Verified { // it may belong to a stranger, who must not be flooded with email
				continue
			}
			if err := s.courier.Send(ctx, s.newDeviceMail(a, client(x.Request))); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

// device returns the device cookie of a request, or "" if there is none.
func device(r *http.Request) string {
	if cookies := r.CookiesNamed(deviceCookie); len(cookies) == 1 && len(cookies[0].Value) == len(rand.Text()) {
		return cookies[0].Value
	}
	return ""
}

// knowsDevice reports whether this device has signed in to the account with the address. It returns
// false if there is no such account.
func (d *database) knowsDevice(ctx context.Context, emailKey, device string) (known bool, err error) {
	hash := sha256.Sum256([]byte(device))
	err = d.row(ctx, []any{&known}, `SELECT EXISTS (SELECT 1 FROM devices JOIN users ON users.id = devices.user_id
		WHERE users.email_key = $1 AND devices.device = $2)`, emailKey, hash[:])
	return known, err
}

// seeDevice records a device. It reports whether the account knew it already and, if not, whether
// it knew others.
func (d *database) seeDevice(ctx context.Context, userID, device, client string,
	now time.Time) (known, others bool, err error) {
	hash := sha256.Sum256([]byte(device))
	n, err := d.exec(ctx, "UPDATE devices SET last_seen = $3, client = $4 WHERE user_id = $1 AND device = $2",
		userID, hash[:], now.UnixMicro(), client)
	if err != nil || n > 0 {
		return n > 0, false, err
	}
	if err := d.row(ctx, []any{&others}, "SELECT EXISTS (SELECT 1 FROM devices WHERE user_id = $1)",
		userID); err != nil {
		return false, false, err
	}
	_, err = d.exec(ctx, "INSERT INTO devices (user_id, device, client, last_seen) VALUES ($1, $2, $3, $4)",
		userID, hash[:], client, now.UnixMicro())
	return false, others, err
}

// shown are the names that differ from those of the library.
var shown = map[string]string{
	agents.BrowserIE.String():      "Internet Explorer",
	agents.BrowserSamsung.String(): "Samsung Internet",
	agents.OSMacOS.String():        "macOS",
}

// client describes the browser of a request in a few words, such as "Firefox on Linux". All words
// are from lists: a quotation of the User-Agent header could put an attacker's text into an email.
// Browsers that claim to be another are described as that one: Brave as Chrome, an iPad that asks
// for desktop pages as macOS.
func client(r *http.Request) string {
	agent := useragent.NewParser().Parse(r.UserAgent()) // made once, by the library
	program, system := agent.Browser().String(), agent.OS().String()
	switch {
	case program == "" && agent.Device() == agents.DeviceBot:
		program = "Script or bot"
	case program == "":
		program = "Unknown browser"
	}
	program, system = cmp.Or(shown[program], program), cmp.Or(shown[system], system)
	if system == "" {
		return program
	}
	return fmt.Sprintf("%s on %s", program, system)
}
