// http PORT SHARDS SERVER - an HTTP/1.1 server on net/http, as many threads running as SHARDS.
package main

import (
	"log"
	"net/http"
	"os"
	"runtime"
	"strconv"
)

const bulkBytes = 1 << 20

var (
	hello = []byte("Hello, World!")
	bulk  = make([]byte, bulkBytes)
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: http PORT SHARDS SERVER")
	}
	shards, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal("SHARDS is a number")
	}
	runtime.GOMAXPROCS(shards)
	for i := range bulk {
		bulk[i] = byte('a' + i%26)
	}

	// Made once: a handler only lets its header point to them.
	server := []string{os.Args[3]}
	text := []string{"text/plain"}
	octets := []string{"application/octet-stream"}
	bulkLength := []string{strconv.Itoa(bulkBytes)}

	http.HandleFunc("/plaintext", func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header["Server"] = server
		header["Content-Type"] = text
		w.Write(hello)
	})
	http.HandleFunc("/bytes/1048576", func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header["Server"] = server
		header["Content-Type"] = octets
		header["Content-Length"] = bulkLength
		w.Write(bulk)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
