// Lets labs reach the proxy on their network's gateway while people reach it on site.host:
// a plain TCP relay inside the proxy's own process. Usage: DLI_RELAY="from-ip:port>to-ip:port".
'use strict';
const net = require('node:net');

const [from, to] = process.env.DLI_RELAY.split('>').map((end) => {
  const colon = end.lastIndexOf(':');
  return { host: end.slice(0, colon), port: Number(end.slice(colon + 1)) };
});

net
  .createServer({ allowHalfOpen: true }, (lab) => {
    const proxy = net.connect({ ...to, allowHalfOpen: true });
    const drop = () => { lab.destroy(); proxy.destroy(); };
    lab.on('error', drop);
    proxy.on('error', drop);
    lab.pipe(proxy);
    proxy.pipe(lab);
  })
  .on('error', (error) => {
    // The supervisor starts us again; a gateway that is not there yet appears with its network.
    console.error(`labs' gateway: ${error.message}`);
    process.exit(1);
  })
  .listen(from);
