package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// isLocal reports whether an address is one of this machine's own.
func isLocal(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "127.0.0.1" || host == "localhost" || host == "::1")
}

// localFile is the path of what a pool of this machine keeps for its user's programs; empty: there is none.
func localFile(address, name string) string {
	if !isLocal(address) {
		return ""
	}
	_, port, _ := net.SplitHostPort(address)
	home := os.Getenv("GRADPOOL_HOME")
	if home == "" {
		user, _ := os.UserHomeDir()
		home = filepath.Join(user, ".gradpool")
	}
	file := filepath.Join(home, "pools", port, name)
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// withKey sends the pool's key with each call: gRPC's credentials.PerRPCCredentials.
type withKey string

func (key withKey) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(key)}, nil
}

// On this machine the key may travel in plain text; the channel to another is encrypted.
func (withKey) RequireTransportSecurity() bool { return false }

// keyOf is $GRADPOOL_KEY, what the file in $GRADPOOL_KEY_FILE holds, or the key of a pool of this machine.
func keyOf(address string) (withKey, error) {
	if key := os.Getenv("GRADPOOL_KEY"); key != "" {
		return withKey(key), nil
	}
	file := os.Getenv("GRADPOOL_KEY_FILE")
	if file == "" {
		file = localFile(address, "key")
	}
	if file == "" {
		return "", fmt.Errorf("no key for %s; set GRADPOOL_KEY or GRADPOOL_KEY_FILE", address)
	}
	text, err := os.ReadFile(file)
	return withKey(strings.TrimSpace(string(text))), err
}

// tlsFiles names PEM files, as a pool's tls.json does.
type tlsFiles struct{ CA, Cert, Key string }

// transport is encrypted with $GRADPOOL_TLS_CA, _CERT and _KEY, or the certificates of a pool of this machine that has some.
func transport(address string) (credentials.TransportCredentials, error) {
	files := tlsFiles{os.Getenv("GRADPOOL_TLS_CA"), os.Getenv("GRADPOOL_TLS_CERT"), os.Getenv("GRADPOOL_TLS_KEY")}
	if files == (tlsFiles{}) {
		found := localFile(address, "tls.json")
		if found == "" && !isLocal(address) && os.Getenv("GRADPOOL_INSECURE") == "" {
			return nil, fmt.Errorf("%s is another machine; name certificates with GRADPOOL_TLS_CA, _CERT and _KEY", address)
		}
		if found == "" {
			return insecure.NewCredentials(), nil
		}
		text, err := os.ReadFile(found)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &files); err != nil {
			return nil, fmt.Errorf("%s: %w", found, err)
		}
	}
	own, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(files.CA)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s: no certificate in it", files.CA)
	}
	return credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{own}, RootCAs: trusted}), nil
}

// dial makes a connection to a coordinator, which opens with the first call.
func dial(address string) (*grpc.ClientConn, error) {
	key, err := keyOf(address)
	if err != nil {
		return nil, err
	}
	protection, err := transport(address)
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(address, grpc.WithTransportCredentials(protection), grpc.WithPerRPCCredentials(key))
}
