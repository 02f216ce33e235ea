package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

const (
	deviceCookie   = "__Host-device"
	deviceLifetime = 400 * 24 * time.Hour // browsers keep no cookie for longer
)

// newNewDevice makes the hook new_device: a cookie that stays, and a mail to who signs in with a browser that their account
// does not know yet, unless it is the first. The cookie lets nobody in: it keeps that mail from going out, and it keeps those
// who guess elsewhere from locking out who has it (see brake.go).
func (s *service) newNewDevice(p flowhook.Point, _ func(v any) error) (flowhook.Hook, error) {
	if p.Phase != flowhook.After || (p.Flow != flowhook.Login && p.Flow != flowhook.Registration) {
		return nil, errors.New("it stands after login, and after a registration that signs in")
	}
	return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		if x.Identity == nil || x.Session == nil {
			return errors.New("nobody is signed in; put the hook session before it")
		}
		device := device(x.Request)
		if device == "" {
			device = rand.Text()
		}
		known, others, err := s.db.seeDevice(ctx, x.Identity.ID, device, client(x.Request), s.now())
		if err != nil {
			return err
		}
		http.SetCookie(x.Writer, &http.Cookie{Name: deviceCookie, Value: device, Path: "/", MaxAge: int(deviceLifetime / time.Second),
			Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		if known || !others {
			return nil
		}
		for _, a := range x.Identity.Addresses {
			if !a.Verified { // it may be somebody else's, who would get mail for as often as one likes
				continue
			}
			if err := s.courier.Send(ctx, s.newDeviceMail(a, client(x.Request))); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

// device gives the device that a request comes from; empty: it does not say so.
func device(r *http.Request) string {
	if cookies := r.CookiesNamed(deviceCookie); len(cookies) == 1 && len(cookies[0].Value) == len(rand.Text()) {
		return cookies[0].Value
	}
	return ""
}

// knowsDevice says whether somebody has signed in to the account of an address with this device. Where there is no such
// account, nobody has.
func (d *database) knowsDevice(ctx context.Context, emailKey, device string) (known bool, err error) {
	hash := sha256.Sum256([]byte(device))
	err = d.row(ctx, []any{&known}, `SELECT EXISTS (SELECT 1 FROM devices JOIN users ON users.id = devices.user_id
		WHERE users.email_key = $1 AND devices.device = $2)`, emailKey, hash[:])
	return known, err
}

// seeDevice remembers a device, and says whether the user's account knew it, and whether it knew others.
func (d *database) seeDevice(ctx context.Context, userID, device, client string, now time.Time) (known, others bool, err error) {
	hash := sha256.Sum256([]byte(device))
	n, err := d.exec(ctx, "UPDATE devices SET last_seen = $3, client = $4 WHERE user_id = $1 AND device = $2", userID, hash[:], now.UnixMicro(), client)
	if err != nil || n > 0 {
		return n > 0, false, err
	}
	if err := d.row(ctx, []any{&others}, "SELECT EXISTS (SELECT 1 FROM devices WHERE user_id = $1)", userID); err != nil {
		return false, false, err
	}
	_, err = d.exec(ctx, "INSERT INTO devices (user_id, device, client, last_seen) VALUES ($1, $2, $3, $4)", userID, hash[:], client, now.UnixMicro())
	return false, others, err
}

// client says what a request comes from, in a few words. What the User-Agent header says otherwise is anybody's text, and
// nothing to put into a mail.
func client(r *http.Request) string {
	agent := r.UserAgent()
	find := func(otherwise string, pairs ...[2]string) string {
		for _, p := range pairs {
			if strings.Contains(agent, p[0]) {
				return p[1]
			}
		}
		return otherwise
	}
	// The order matters: Edge says that it is Chrome too, and Chrome that it is Safari.
	program := find("An unknown program", [2]string{"Edg", "Edge"}, [2]string{"OPR/", "Opera"}, [2]string{"Firefox/", "Firefox"},
		[2]string{"Chrome/", "Chrome"}, [2]string{"Safari/", "Safari"}, [2]string{"curl/", "curl"})
	system := find("", [2]string{"Windows", "Windows"}, [2]string{"Android", "Android"}, [2]string{"iPhone", "iOS"}, [2]string{"iPad", "iOS"},
		[2]string{"Mac OS X", "macOS"}, [2]string{"Linux", "Linux"})
	if system == "" {
		return program
	}
	return fmt.Sprintf("%s on %s", program, system)
}
