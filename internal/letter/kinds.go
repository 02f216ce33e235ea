package letter

import "time"

// The links point to base, an absolute URL, with the secret in its query. lifespan is how long a
// link or a code is valid.

// Verification asks the user to confirm an address.
func Verification(base, secret string, lifespan time.Duration) Letter {
	return verification.withLink(base, secret, lifespan)
}

var verification = kind{
	subject: "Please confirm your address",
	intro: []string{
		"This email address was entered for an account.",
		"To confirm that the address is yours, open this link:",
	},
	button: "Confirm address",
	outro: []string{
		"If this wasn't you, don't open the link. You can ignore this email: the address stays unconfirmed.",
	},
}

// VerificationCode is like [Verification], with a code to enter.
func VerificationCode(code string, lifespan time.Duration) Letter {
	return verificationCode.withCode(code, lifespan)
}

var verificationCode = kind{
	subject: "Your address confirmation code",
	intro: []string{
		"This email address was entered for an account.",
		"To confirm that the address is yours, enter this code on the page where you were asked for it:",
	},
	outro: []string{
		"If this wasn't you, you can ignore this email: the address stays unconfirmed.",
	},
}

// Recovery lets the user choose a new password.
func Recovery(base, secret string, lifespan time.Duration) Letter {
	return recovery.withLink(base, secret, lifespan)
}

var recovery = kind{
	subject: "Reset your password",
	intro: []string{
		"Someone asked to reset the password of your account.",
		"To choose a new password, open this link:",
	},
	button: "Choose a new password",
	outro: []string{
		"If this wasn't you, you can ignore this email: your password stays the same.",
	},
}

// RecoveryCode is like [Recovery], with a code to enter.
func RecoveryCode(code string, lifespan time.Duration) Letter {
	return recoveryCode.withCode(code, lifespan)
}

var recoveryCode = kind{
	subject: "Your password reset code",
	intro: []string{
		"Someone asked to reset the password of your account.",
		"To choose a new password, enter this code on the page where you were asked for it:",
	},
	outro: []string{
		"If this wasn't you, you can ignore this email: your password stays the same.",
	},
}

// AddressChange asks the user to confirm the new address of an account. It goes to that address.
func AddressChange(base, secret string, lifespan time.Duration) Letter {
	return addressChange.withLink(base, secret, lifespan)
}

var addressChange = kind{
	subject: "Please confirm your new address",
	intro: []string{
		"This email address was entered as the new address of an account.",
		"To make it the address of your account, open this link:",
	},
	button: "Use this address",
	outro: []string{
		"Nothing changes until you open the link.",
		"If this wasn't you, don't open the link. You can ignore this email.",
	},
}

// AddressChangePending tells the user of an account that its address is about to be replaced. It
// goes to the old address. The link cancels the change, or takes it back if it was already made. It
// also signs out every device. If secret is "", there is no link, and base and lifespan are not
// used: that is for the other addresses of the account.
func AddressChangePending(base, secret string, lifespan time.Duration) Letter {
	if secret == "" {
		return addressChangePlanned.plain()
	}
	return addressChangePending.withLink(base, secret, lifespan)
}

var addressChangePending = kind{
	subject: "Request to change your email address",
	intro: []string{
		"Someone who was signed in to your account asked to replace this email address with another one.",
		"If this was you, there is nothing to do here. The address changes once the new one is confirmed.",
		"If this wasn't you, open this link to cancel or undo the change and to sign out every device:",
	},
	button: "Cancel the change",
	outro:  []string{afterTakeover},
}

var addressChangePlanned = kind{
	subject: addressChangePending.subject,
	intro: []string{
		"Someone who was signed in to your account asked to change its email addresses.",
		"If this was you, there is nothing to do here. They change once the new one is confirmed.",
		"If this wasn't you, reset your password right away or, if you can't, contact the service.",
	},
}

// AddressRemoved tells the user of an account that its addresses have changed. It goes to an old
// address. The link takes the change back and signs out every device. If secret is "", there is no
// link, and base and lifespan are not used.
func AddressRemoved(base, secret string, lifespan time.Duration) Letter {
	if secret == "" {
		return addressRemoved.plain()
	}
	return addressRemovedLink.withLink(base, secret, lifespan)
}

var addressRemoved = kind{
	subject: "Your account's email addresses have changed",
	intro: []string{
		"The email addresses of your account have changed.",
		"If this was you, there is nothing to do.",
		"If this wasn't you, reset your password right away or, if you can't, contact the service.",
	},
}

var addressRemovedLink = kind{
	subject: addressRemoved.subject,
	intro: []string{
		addressRemoved.intro[0],
		addressRemoved.intro[1],
		"If this wasn't you, open this link to undo the change and to sign out every device:",
	},
	button: "Undo the change",
	outro:  []string{afterTakeover},
}

const afterTakeover = "After you open the link, choose a new password, because someone else may know yours."
