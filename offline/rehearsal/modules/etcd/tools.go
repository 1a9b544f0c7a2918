//go:build tools

package rehearsal

import _ "go.etcd.io/etcd/server/v3"
