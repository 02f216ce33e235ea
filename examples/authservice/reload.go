package main

import (
	"context"
	"errors"

	"github.com/flowhook/flowhook"
)

var (
	errSecretsAdded = errors.New("the file now has secrets, but the current ones come from SESSION_SECRETS or from " +
		"the file " +
		"next to the database; restart the service without SESSION_SECRETS")
	errSecretsRemoved = errors.New("the file no longer has secrets; restore them, or restart the service with " +
		"SESSION_SECRETS")
)

// reload reloads auth.yml. If the file has errors, they are logged and nothing changes. Requests in
// progress keep the configuration they started with. Other state, such as that of rate_limit, is
// kept.
func (s *service) reload(ctx context.Context) {
	if s.config.AuthConfig == "" {
		s.log.WarnContext(ctx, "nothing to reload: auth.yml is built in; set AUTH_CONFIG to a file and restart")
		return
	}
	if err := s.pipeline.ReloadFrom(s.loadConfig); err != nil {
		all := split(err)
		for _, err := range all {
			s.log.ErrorContext(ctx, "error in AUTH_CONFIG", "error", err)
		}
		s.log.ErrorContext(ctx, "AUTH_CONFIG was not reloaded; the old configuration stays in use", "errors", len(all))
		return
	}
	for _, warning := range missingHooks(s.pipeline.Plan()) {
		s.log.WarnContext(ctx, warning)
	}
	s.log.InfoContext(ctx, "AUTH_CONFIG was reloaded", "file", s.config.AuthConfig, "hash", s.pipeline.Plan().Hash())
}

// loadConfig reads the file for a reload. The hook page calls it, too, for a file that differs.
func (s *service) loadConfig() (*flowhook.Config, error) {
	hooks, err := s.config.loadHooks()
	if err != nil {
		return nil, err
	}
	switch inFile := hasSecrets(s.config.AuthConfig); {
	case inFile && !s.config.SecretsInFile:
		return nil, errSecretsAdded
	case !inFile && s.config.SecretsInFile:
		return nil, errSecretsRemoved
	}
	if _, err := s.config.checkHooks(); errors.Is(err, errNoHooks) { // the caller finds the other errors
		return nil, err
	}
	return hooks, nil
}
