// http.js PORT SHARDS SERVER - an HTTP/1.1 server on node:http.  Connections are kept for as long as the
// client likes, which also leaves the Keep-Alive field out.
'use strict';
const http = require('node:http');
const shards = require('./shards.js');

if (process.argv.length !== 5) {
    console.error('usage: node http.js PORT SHARDS SERVER');
    process.exit(2);
}
const [port, count, name] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];
const hello = 'Hello, World!';
const bulk = Buffer.alloc(1 << 20, 'abcdefghijklmnopqrstuvwxyz');
const text = { 'Server': name, 'Content-Type': 'text/plain', 'Content-Length': hello.length };
const octets = {
    'Server': name, 'Content-Type': 'application/octet-stream', 'Content-Length': bulk.length,
};

function answer(request, response) {
    if (request.url === '/plaintext') {
        response.writeHead(200, text);
        response.end(hello);
    } else if (request.url === '/bytes/1048576') {
        response.writeHead(200, octets);
        response.end(bulk);
    } else {
        response.writeHead(404, { 'Content-Length': 0 });
        response.end();
    }
}

shards(count, () => {
    const server = http.createServer({ noDelay: true, keepAliveTimeout: 0 }, answer);
    server.listen({ port, host: '127.0.0.1', backlog: 4096 });
});
