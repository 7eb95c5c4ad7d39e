package environment

import (
	// An image has no certificates of its own. The machine's, where it has them, and SSL_CERT_FILE go before these.
	_ "golang.org/x/crypto/x509roots/fallback"
)
