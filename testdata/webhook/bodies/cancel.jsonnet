// What Kratos' own tests use.
error "cancel"
