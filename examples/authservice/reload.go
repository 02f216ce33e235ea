package main

import (
	"context"
	"errors"
	"os"

	"github.com/flowhook/flowhook"
	"gopkg.in/yaml.v3"
)

// hasSecrets says whether an auth.yml has secrets itself: then those sign the sessions, and a reload changes them. Nothing
// beside the file has to say so, which could only say the same or something else. What cannot be read has none; why it
// cannot, flowhook says.
func hasSecrets(path string) bool {
	data, err := os.ReadFile(path)
	var top struct {
		Secrets yaml.Node `yaml:"secrets"`
	}
	return err == nil && yaml.Unmarshal(data, &top) == nil && !top.Secrets.IsZero()
}

var (
	errSecretsCame = errors.New("it has secrets now, and SESSION_SECRETS, or the file beside the database, has those in use; start the service again without them")
	errSecretsWent = errors.New("it has no secrets any more; put them back, or start the service again with SESSION_SECRETS")
)

// reload reads auth.yml again. What is wrong in it is logged, and then nothing has changed; requests that are under way end as
// they have begun either way. Everything else that the service knows, such as what the brake has counted, stays.
func (s *service) reload(ctx context.Context) {
	if err := s.takeConfig(); err != nil {
		wrong := []error{err}
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			wrong = several.Unwrap()
		}
		for _, err := range wrong {
			s.log.ErrorContext(ctx, "AUTH_CONFIG is not taken", "error", err)
		}
		s.log.ErrorContext(ctx, "AUTH_CONFIG was read again, and nothing has changed", "errors", len(wrong))
		return
	}
	s.log.InfoContext(ctx, "AUTH_CONFIG was read again, and is taken")
}

func (s *service) takeConfig() error {
	hooks, err := flowhook.LoadConfig(s.config.AuthConfig)
	if err != nil {
		return err
	}
	switch there := hasSecrets(s.config.AuthConfig); {
	case there && !s.config.SecretsThere:
		return errSecretsCame
	case !there && s.config.SecretsThere:
		return errSecretsWent
	}
	return s.pipeline.Reload(hooks)
}
