//go:build tools

package rehearsal

import _ "github.com/aws/karpenter-provider-aws/cmd/controller"
