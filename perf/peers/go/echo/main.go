// echo PORT SHARDS - sends back what it receives: a goroutine per connection, with a buffer as big as
// the one of weir-echo, as many threads running as SHARDS.
package main

import (
	"log"
	"net"
	"os"
	"runtime"
	"strconv"
)

const buffer = 4096

func serve(conn net.Conn) {
	defer conn.Close()
	data := make([]byte, buffer)
	for {
		n, err := conn.Read(data)
		if err != nil {
			return
		}
		if _, err = conn.Write(data[:n]); err != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: echo PORT SHARDS")
	}
	shards, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal("SHARDS is a number")
	}
	runtime.GOMAXPROCS(shards)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(conn)
	}
}
