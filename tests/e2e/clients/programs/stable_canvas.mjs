// Makes a picture with @stable-canvas/comfyui-client: over its WebSocket, then by polling.
import { readFileSync, writeFileSync } from 'node:fs'
import { Client } from '@stable-canvas/comfyui-client'
import WebSocket from 'ws'

const [url, graph, folder] = process.argv.slice(2)
const client = new Client({ api_host: new URL(url).host, WebSocket, fetch })
const keep = async (way, images) => {
  for (const [place, image] of images.entries()) {
    const bytes = image.type === 'url' ? await (await fetch(image.data)).arrayBuffer() : image.data
    writeFileSync(`${folder}/${way}-${place}.png`, Buffer.from(bytes))
  }
}
client.connect()
const steps = []
const heard = await client.enqueue(JSON.parse(readFileSync(graph)), {
  progress: ({ value }) => steps.push(value)
})
await keep('socket', heard.images)
const polled = await client.enqueue_polling(JSON.parse(readFileSync(graph)))
await keep('polled', polled.images)
client.close()
if (!steps.length) throw new Error('no progress was told')
